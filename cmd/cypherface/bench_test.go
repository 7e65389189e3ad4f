package main

import (
	"context"
	"encoding/json"
	"image"
	"strings"
	"testing"
	"time"

	"github.com/cypherface/edge/camera/v4l2"
	"github.com/cypherface/edge/models"
)

func TestBench(t *testing.T) {
	out := mustCLI(t, "bench", "--json", "--packs", testPacks, "--frames", "2", "--people", "5000")
	var r benchReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	for _, s := range stages {
		if q := r.Stages[s]; q.P50 < 0 || q.P95 < q.P50 || s != "search" && q.P50 == 0 {
			t.Errorf("stage %s: %v", s, q)
		}
	}
	if r.Stages["invoke"].P50 < r.Stages["embed"].P50 {
		t.Errorf("all networks take %v ms, the embedder alone %v", r.Stages["invoke"].P50, r.Stages["embed"].P50)
	}
	for _, kind := range []string{"yuyv_640x480", "jpeg_1280x720"} {
		if r.Overhead[kind] <= 0 {
			t.Errorf("overhead of %s: %v", kind, r.Overhead[kind])
		}
	}
	if r.Search <= 0 || r.Pack == "" {
		t.Errorf("search %v, pack %q", r.Search, r.Pack)
	}
	if _, says, code := cli(t, nil, "bench", "more"); code != 2 || !strings.Contains(says, "usage") {
		t.Errorf("an argument too many: status %d, %s", code, says)
	}
}

func TestSceneOfACamera(t *testing.T) {
	m := scene(64, 48)
	back, err := v4l2.Unpack(toYUYV(m), 64, 48, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []image.Point{{0, 0}, {63, 47}, {31, 20}} {
		if m.YCbCrAt(p.X, p.Y) != back.YCbCrAt(p.X, p.Y) {
			t.Errorf("pixel %v: %v became %v", p, m.YCbCrAt(p.X, p.Y), back.YCbCrAt(p.X, p.Y))
		}
	}
}

// slow is a network whose parts take known times.
type slow struct{}

func (slow) Input() []int     { return nil }
func (slow) Outputs() [][]int { return nil }
func (slow) Run(_ context.Context, fill func([]float32), read func([][]float32)) error {
	time.Sleep(time.Millisecond) // waiting for an interpreter is nobody's stage
	fill(nil)
	time.Sleep(2 * time.Millisecond)
	read(nil)
	return nil
}

func TestBenchToldApart(t *testing.T) {
	b := bench{frame: map[string]time.Duration{}}
	pause := func() { time.Sleep(time.Millisecond) }
	for _, role := range []models.Role{models.DetectFull, models.Landmarks, models.Embed} {
		err := b.wrap(role, slow{}).Run(t.Context(), func([]float32) { pause() }, func([][]float32) { pause() })
		if err != nil {
			t.Fatal(err)
		}
	}
	const ms = time.Millisecond
	for stage, least := range map[string]time.Duration{"invoke": 6 * ms, "embed": 2 * ms, "letterbox": ms, "align": 4 * ms} {
		if b.frame[stage] < least {
			t.Errorf("%s took %v, at least %v", stage, b.frame[stage], least)
		}
	}
}

func TestQuantiles(t *testing.T) {
	var d []time.Duration
	for i := 100; i >= 0; i-- {
		d = append(d, time.Duration(i)*time.Millisecond)
	}
	if q := summarise(d); q != (quantiles{50, 95}) {
		t.Errorf("%v", q)
	}
	if q := summarise(nil); q != (quantiles{}) {
		t.Errorf("of nothing: %v", q)
	}
}
