// The program answers what the API server of a cluster would answer to a HorizontalPodAutoscaler: the value of a metric for each
// pod, by prometheus-adapter's own discovery, naming and queries. Only the pods themselves come from a list in place of a cluster.
//
// It prints one JSON object on standard output, the value by pod; a pod without a value is left out.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/provider"
	prom "sigs.k8s.io/prometheus-adapter/pkg/client"
	"sigs.k8s.io/prometheus-adapter/pkg/config"
	adapter "sigs.k8s.io/prometheus-adapter/pkg/custom-provider"
	"sigs.k8s.io/prometheus-adapter/pkg/naming"
)

var v1 = schema.GroupVersion{Version: "v1"}

func main() {
	address := flag.String("prometheus", "", "address of Prometheus")
	rules := flag.String("config", "", "file with the adapter's rules")
	namespace := flag.String("namespace", "", "namespace of the pods")
	pods := flag.String("pods", "", "names of the pods, with commas between them")
	metric := flag.String("metric", "", "name of the metric in the API")
	wait := flag.Duration("wait", 30*time.Second, "time that the metric may take to be discovered")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), *wait)
	defer cancel()
	values, err := read(ctx, *address, *rules, *namespace, strings.Split(*pods, ","), *metric)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(values)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func read(ctx context.Context, address, rules, namespace string, pods []string, metric string) (map[string]string, error) {
	server, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	settings, err := config.FromFile(rules)
	if err != nil {
		return nil, err
	}
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{v1})
	mapper.Add(v1.WithKind("Pod"), meta.RESTScopeNamespace)
	mapper.Add(v1.WithKind("Namespace"), meta.RESTScopeRoot)
	namers, err := naming.NamersFromConfig(settings.Rules, mapper)
	if err != nil {
		return nil, err
	}
	client := prom.NewClientForAPI(prom.NewGenericAPIClient(http.DefaultClient, server, nil), http.MethodGet)
	metrics, lister := adapter.NewPrometheusProvider(mapper, cluster(namespace, pods), client, namers, time.Second, time.Hour)
	lister.RunUntil(ctx.Done())
	wanted := provider.CustomMetricInfo{GroupResource: schema.GroupResource{Resource: "pods"}, Namespaced: true, Metric: metric}
	if err := discovered(ctx, metrics, wanted); err != nil {
		return nil, err
	}
	found, err := metrics.GetMetricBySelector(ctx, namespace, labels.Everything(), wanted, labels.Everything())
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for _, one := range found.Items {
		values[one.DescribedObject.Name] = one.Value.String()
	}
	return values, nil
}

// cluster returns a client of a cluster that has the pods and nothing else.
func cluster(namespace string, pods []string) *fake.FakeDynamicClient {
	objects := make([]runtime.Object, 0, len(pods))
	for _, name := range pods {
		pod := &unstructured.Unstructured{}
		pod.SetGroupVersionKind(v1.WithKind("Pod"))
		pod.SetNamespace(namespace)
		pod.SetName(name)
		objects = append(objects, pod)
	}
	kinds := map[schema.GroupVersionResource]string{v1.WithResource("pods"): "PodList"}
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, v1)
	return fake.NewSimpleDynamicClientWithCustomListKinds(scheme, kinds, objects...)
}

// discovered waits until the adapter's rules have found the metric in Prometheus.
func discovered(ctx context.Context, metrics provider.CustomMetricsProvider, wanted provider.CustomMetricInfo) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !slices.Contains(metrics.ListAllMetrics(), wanted) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s was not discovered; there are %v", wanted, metrics.ListAllMetrics())
		}
	}
	return nil
}
