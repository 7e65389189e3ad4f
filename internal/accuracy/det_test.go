package accuracy_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/cypherface/edge/internal/accuracy"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestDET(t *testing.T) {
	pairs, templates := randomSet(4, 80, 4, 0.7)
	a, err := accuracy.Measure(pairs, templates)
	if err != nil {
		t.Fatal(err)
	}
	pairs, templates = randomSet(5, 80, 4, 1)
	b, err := accuracy.Measure(pairs, templates)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := accuracy.DET(&out, "Trade-off <of> two", accuracy.Curve{Name: "calm", Result: a}, accuracy.Curve{Name: "noisy & far", Result: b}); err != nil {
		t.Fatal(err)
	}
	wellFormed(t, out.String())
	const golden = "testdata/det.svg"
	if *update {
		if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if runtime.GOARCH != "amd64" {
		return // fused multiply-add moves a point by a tenth of a unit
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), want) {
		t.Errorf("the plot differs from %s; look at it and run the test with -update", golden)
	}
}

func wellFormed(t *testing.T, svg string) {
	t.Helper()
	dec := xml.NewDecoder(strings.NewReader(svg))
	for {
		switch _, err := dec.Token(); {
		case errors.Is(err, io.EOF):
			if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
				t.Error("the plot holds a coordinate that is no number")
			}
			return
		case err != nil:
			t.Fatal(err)
		}
	}
}

// TestDETAtTheEdges draws sets with no error at all and with nothing but.
func TestDETAtTheEdges(t *testing.T) {
	pairs := []accuracy.Pair{{A: "a/1", B: "a/2", Mate: true}, {A: "a/1", B: "b/1"}}
	for name, templates := range map[string]accuracy.Templates{
		"perfect":   {"a/1": angle(0), "a/2": angle(1), "b/1": angle(90)},
		"hopeless":  {"a/1": angle(0), "a/2": angle(170), "b/1": angle(1)},
		"identical": {"a/1": angle(0), "a/2": angle(0), "b/1": angle(0)},
	} {
		r, err := accuracy.Measure(pairs, templates)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := accuracy.DET(&out, name, accuracy.Curve{Name: name, Result: r}); err != nil {
			t.Fatal(err)
		}
		wellFormed(t, out.String())
	}
}
