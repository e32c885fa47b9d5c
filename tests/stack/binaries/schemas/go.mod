module agentos.example/tests/stack/schemas

go 1.26.0

require (
	github.com/compose-spec/compose-go/v2 v2.9.1
	github.com/open-telemetry/opentelemetry-operator v0.140.0
	k8s.io/kubernetes v1.36.0
)
