// The program reads bodies of /metrics by Prometheus' own parsers, as a scrape does, and prints what they hold.
//
// Standard input is a sequence of requests: a line of JSON (request), then so many bytes of the body. For each of them one line
// of JSON (answer) goes to standard output.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/model/value"
)

// request is what a scrape job and the answer's header say about a body.
type request struct {
	ContentType string `json:"content_type"`
	Length      int    `json:"length"`
	Native      bool   `json:"native"`   // scrape_native_histograms
	Classic     bool   `json:"classic"`  // always_scrape_classic_histograms
	Custom      bool   `json:"custom"`   // convert_classic_histograms_to_nhcb
	Starts      bool   `json:"starts"`   // start timestamps are stored: those of _created series are read, the series are not shown
	Om2         bool   `json:"om2"`      // --enable-feature=openmetrics2
	Legacy      bool   `json:"legacy"`   // metric_name_validation_scheme: legacy
	TypeUnit    bool   `json:"typeunit"` // --enable-feature=type-and-unit-labels
}

type answer struct {
	Error    string      `json:"error,omitempty"`
	Types    [][2]string `json:"types"`
	Helps    [][2]string `json:"helps"`
	Units    [][2]string `json:"units"`
	Comments []string    `json:"comments"`
	Samples  []sample    `json:"samples"`
}

type sample struct {
	Series    string       `json:"series"`
	Labels    [][2]string  `json:"labels"`
	Value     string       `json:"value,omitempty"`
	Histogram *native      `json:"histogram,omitempty"`
	Timestamp *int64       `json:"timestamp,omitempty"` // milliseconds
	Start     int64        `json:"start,omitempty"`     // milliseconds
	Exemplars []exemplarOf `json:"exemplars,omitempty"`
}

type exemplarOf struct {
	Labels    [][2]string `json:"labels"`
	Value     string      `json:"value"`
	Timestamp *int64      `json:"timestamp,omitempty"` // milliseconds
}

type span struct {
	Offset int32  `json:"offset"`
	Length uint32 `json:"length"`
}

// native is a native histogram; the counts of buckets are absolute. Numbers are texts that read back as the same float.
type native struct {
	Schema        int32    `json:"schema"`
	ZeroThreshold string   `json:"zero_threshold"`
	ZeroCount     string   `json:"zero_count"`
	Count         string   `json:"count"`
	Sum           string   `json:"sum"`
	Positive      []string `json:"positive"`
	PositiveSpans []span   `json:"positive_spans"`
	Negative      []string `json:"negative"`
	NegativeSpans []span   `json:"negative_spans"`
	Custom        []string `json:"custom"`
	Float         bool     `json:"float"` // counts are floats
	Gauge         bool     `json:"gauge"` // a gauge histogram
}

func main() {
	in, out := bufio.NewReaderSize(os.Stdin, 1<<16), bufio.NewWriter(os.Stdout)
	encoder := json.NewEncoder(out)
	for {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return
		}
		if err != nil {
			fail(err)
		}
		var asked request
		if err := json.Unmarshal(line, &asked); err != nil {
			fail(err)
		}
		body := make([]byte, asked.Length)
		if _, err := io.ReadFull(in, body); err != nil {
			fail(err)
		}
		if err := encoder.Encode(parse(body, asked)); err != nil {
			fail(err)
		}
		if err := out.Flush(); err != nil {
			fail(err)
		}
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// parse does what the scrape loop does with a body, with the checks of the storage; the answer's error is why the body, or one of
// its samples, is refused.
func parse(body []byte, asked request) (found answer) {
	defer func() {
		if reason := recover(); reason != nil {
			found.Error = fmt.Sprint("panic: ", reason)
		}
	}()
	if len(body) == 0 {
		return found
	}
	parser, err := textparse.New(body, asked.ContentType, labels.NewSymbolTable(), textparse.ParserOptions{
		EnableTypeAndUnitLabels:                 asked.TypeUnit,
		IgnoreNativeHistograms:                  !asked.Native,
		ConvertClassicHistogramsToNHCB:          asked.Custom,
		KeepClassicOnClassicAndNativeHistograms: asked.Classic,
		OpenMetricsSkipSTSeries:                 asked.Starts,
		EnableOpenMetrics2:                      asked.Om2,
	})
	if err != nil {
		found.Error = err.Error()
		return found
	}
	scheme := model.UTF8Validation
	if asked.Legacy {
		scheme = model.LegacyValidation
	}
	seen := map[string]bool{}
	for {
		entry, err := parser.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			found.Error = err.Error()
			return found
		}
		switch entry {
		case textparse.EntryType:
			name, kind := parser.Type()
			found.Types = append(found.Types, [2]string{string(name), string(kind)})
		case textparse.EntryHelp:
			name, text := parser.Help()
			found.Helps = append(found.Helps, [2]string{string(name), string(text)})
		case textparse.EntryUnit:
			name, text := parser.Unit()
			found.Units = append(found.Units, [2]string{string(name), string(text)})
		case textparse.EntryComment:
			found.Comments = append(found.Comments, string(parser.Comment()))
		default:
			one, err := read(parser, entry, asked, scheme, seen)
			if err != nil {
				found.Error = err.Error()
				return found
			}
			found.Samples = append(found.Samples, one)
		}
	}
}

func read(parser textparse.Parser, entry textparse.Entry, asked request, scheme model.ValidationScheme, seen map[string]bool) (sample, error) {
	var one sample
	var text []byte
	if entry == textparse.EntryHistogram {
		var whole *histogram.Histogram
		var float *histogram.FloatHistogram
		text, one.Timestamp, whole, float = parser.Histogram()
		switch {
		case whole != nil:
			if err := whole.Validate(); err != nil {
				return one, fmt.Errorf("%s: %w", text, err)
			}
			one.Histogram = fromWhole(whole)
		case float != nil:
			if err := float.Validate(); err != nil {
				return one, fmt.Errorf("%s: %w", text, err)
			}
			one.Histogram = fromFloat(float)
		default:
			return one, fmt.Errorf("%s: parser returned nil histogram", text)
		}
	} else {
		var number float64
		text, one.Timestamp, number = parser.Series()
		one.Value = decimal(number)
	}
	one.Series = string(text)
	if one.Timestamp != nil {
		copied := *one.Timestamp
		one.Timestamp = &copied
	}
	var names labels.Labels
	parser.Labels(&names)
	one.Labels = pairs(names)
	if !names.Has(model.MetricNameLabel) || !names.IsValid(scheme) {
		return one, fmt.Errorf("invalid metric name or label names: %s", names)
	}
	if name, twice := names.HasDuplicateLabelNames(); twice {
		return one, fmt.Errorf("label name %q is not unique: %s", name, names)
	}
	key := names.String()
	if one.Timestamp != nil {
		key += strconv.FormatInt(*one.Timestamp, 10)
	}
	if seen[key] {
		return one, fmt.Errorf("duplicate sample: %s", names)
	}
	seen[key] = true
	if asked.Starts {
		one.Start = parser.StartTimestamp()
	}
	one.Exemplars = exemplars(parser)
	return one, nil
}

func exemplars(parser textparse.Parser) []exemplarOf {
	var found []exemplarOf
	for {
		var one exemplar.Exemplar
		if !parser.Exemplar(&one) {
			return found
		}
		shown := exemplarOf{Labels: pairs(one.Labels), Value: decimal(one.Value)}
		if one.HasTs {
			shown.Timestamp = &one.Ts
		}
		found = append(found, shown)
	}
}

func fromWhole(h *histogram.Histogram) *native {
	shown := native{
		Schema: h.Schema, ZeroThreshold: decimal(h.ZeroThreshold), ZeroCount: strconv.FormatUint(h.ZeroCount, 10),
		Count: strconv.FormatUint(h.Count, 10), Sum: decimal(h.Sum), Custom: numbers(h.CustomValues),
		Positive: absolute(h.PositiveBuckets), PositiveSpans: spans(h.PositiveSpans),
		Negative: absolute(h.NegativeBuckets), NegativeSpans: spans(h.NegativeSpans),
		Gauge: h.CounterResetHint == histogram.GaugeType,
	}
	return &shown
}

func fromFloat(h *histogram.FloatHistogram) *native {
	shown := native{
		Schema: h.Schema, ZeroThreshold: decimal(h.ZeroThreshold), ZeroCount: decimal(h.ZeroCount),
		Count: decimal(h.Count), Sum: decimal(h.Sum), Custom: numbers(h.CustomValues),
		Positive: numbers(h.PositiveBuckets), PositiveSpans: spans(h.PositiveSpans),
		Negative: numbers(h.NegativeBuckets), NegativeSpans: spans(h.NegativeSpans),
		Float: true, Gauge: h.CounterResetHint == histogram.GaugeType,
	}
	return &shown
}

func absolute(deltas []int64) []string {
	counts := make([]string, 0, len(deltas))
	count := int64(0)
	for _, delta := range deltas {
		count += delta
		counts = append(counts, strconv.FormatInt(count, 10))
	}
	return counts
}

func numbers(floats []float64) []string {
	texts := make([]string, 0, len(floats))
	for _, float := range floats {
		texts = append(texts, decimal(float))
	}
	return texts
}

func spans(all []histogram.Span) []span {
	shown := make([]span, 0, len(all))
	for _, one := range all {
		shown = append(shown, span{one.Offset, one.Length})
	}
	return shown
}

func pairs(all labels.Labels) [][2]string {
	shown := make([][2]string, 0, all.Len())
	all.Range(func(one labels.Label) {
		shown = append(shown, [2]string{one.Name, one.Value})
	})
	return shown
}

// decimal is the shortest text that reads back as the same float; the mark of a series that has ended is told from other NaNs.
func decimal(float float64) string {
	if math.IsNaN(float) && value.IsStaleNaN(float) {
		return "stale"
	}
	return strconv.FormatFloat(float, 'g', -1, 64)
}
