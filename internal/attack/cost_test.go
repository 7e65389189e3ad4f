//go:build cgo

package attack_test

import (
	"testing"
	"time"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/engine/liveness"
	"github.com/cypherface/edge/engine/tflite"
	"github.com/cypherface/edge/internal/attack"
	"github.com/cypherface/edge/models"
)

// BenchmarkCost reports what liveness adds to a frame, as a multiple of what the
// engine takes for it: finding and embedding the face; and without the pack against
// presentation attacks, where that is installed. 1.3 is the most it may be.
func BenchmarkCost(b *testing.B) {
	packs, err := models.Installed("../../.deps/packs")
	if err != nil || len(packs) == 0 {
		b.Fatalf("no pack is installed: %v (make setup installs them)", err)
	}
	beside, err := models.Beside("../../.deps/packs")
	if err != nil {
		b.Fatal(err)
	}
	eng, networks, err := tflite.OpenEngine(packs[0], tflite.Options{Beside: beside})
	if err != nil {
		b.Fatal(err)
	}
	defer networks.Close()
	var studio attack.Studio
	a := attack.Tuning(36).Attempt(attack.Live, 0, true)
	film, err := studio.Film(b.Context(), a)
	if err != nil {
		b.Fatal(err)
	}
	var alone, with, asking time.Duration
	for b.Loop() {
		var frames []liveness.Frame
		for _, f := range film {
			start := time.Now()
			faces, err := eng.Detect(b.Context(), f.Image)
			if err != nil || len(faces) == 0 {
				continue
			}
			var t engine.Template
			if t, err = eng.Embed(b.Context(), f.Image, faces[0]); err != nil {
				b.Fatal(err)
			}
			alone += time.Since(start)
			start = time.Now()
			frame := liveness.Observe(f.Image, faces[0], t, f.At)
			with += time.Since(start)
			start = time.Now()
			var before *liveness.Frame
			if n := len(frames); n > 0 {
				before = &frames[n-1]
			}
			if err := frame.Ask(b.Context(), eng, f.Image, faces[0], before); err != nil {
				b.Fatal(err)
			}
			asking += time.Since(start)
			frames = append(frames, frame)
		}
		start := time.Now()
		liveness.Default().Judge(frames, a.Challenge, liveness.Likeness{Next: .4, Any: .2})
		with += time.Since(start)
	}
	b.ReportMetric(float64(alone+with+asking)/float64(alone), "×engine")
	b.ReportMetric(float64(alone+with)/float64(alone), "×engine-without-pad")
	b.ReportMetric(float64((with+asking).Microseconds())/float64(b.N*len(film)), "µs/frame")
}
