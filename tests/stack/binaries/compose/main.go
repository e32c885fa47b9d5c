// Prints as JSON what Compose makes of the files that it is given: merged in their order, with paths made absolute. Compose's own
// loader checks them against its specification, and that each service, volume and network they name is declared.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	text, err := model(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(string(text))
}

func model(files []string) ([]byte, error) {
	options, err := cli.NewProjectOptions(files, cli.WithName("agentos"))
	if err != nil {
		return nil, err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return nil, err
	}
	return project.MarshalJSON()
}
