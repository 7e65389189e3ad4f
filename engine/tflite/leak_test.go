//go:build cgo

package tflite_test

import (
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"testing"

	"github.com/cypherface/edge/engine/tflite"
)

var leak = flag.Bool("leak", false, "10,000 loads and 100,000 inferences instead of a few hundred")

// resident is this process's memory in KiB.
func resident(t *testing.T) int {
	t.Helper()
	debug.FreeOSMemory()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("no /proc to read the memory from")
	}
	var size, pages int
	if _, err := fmt.Sscan(string(b), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize() / 1024
}

// grows runs step n times after a warm-up and fails when memory has grown by
// more than allowed KiB.
func grows(t *testing.T, n, allowed int, step func()) {
	t.Helper()
	for range min(n/10+1, 200) {
		step()
	}
	before := resident(t)
	for i := range n {
		step()
		if *leak && i%(n/10) == 0 {
			t.Logf("%7d: %d KiB", i, resident(t))
		}
	}
	after := resident(t)
	t.Logf("%d times: %d KiB before, %d KiB after", n, before, after)
	if after-before > allowed {
		t.Errorf("memory grew by %d KiB over %d times, %d are allowed", after-before, n, allowed)
	}
}

// A model has 229 KB: 150 loads that leaked it would show 34 MB.
func TestLeakOfLoading(t *testing.T) {
	thorough(t)
	n := 150
	if *leak {
		n = 10_000
	}
	grows(t, n, 8<<10, func() {
		m := load(t, tflite.Options{Interpreters: 2})
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestLeakOfInference(t *testing.T) {
	thorough(t)
	n := 500
	if *leak {
		n = 100_000
	}
	m := load(t, tflite.Options{Interpreters: 1})
	defer m.Close()
	grows(t, n, 4<<10, func() {
		if err := m.Run(t.Context(), func([]float32) {}, func([][]float32) {}); err != nil {
			t.Fatal(err)
		}
	})
}
