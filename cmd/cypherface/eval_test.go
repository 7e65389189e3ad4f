package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"image"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/internal/accuracy"
	"github.com/cypherface/edge/internal/picture"
	"github.com/cypherface/edge/internal/synthface"
)

// renderSet writes a set of rendered people with two pictures each, one of them
// with nobody in it, and its pairs file.
func renderSet(t *testing.T) (pairs, images string) {
	t.Helper()
	dir := t.TempDir()
	images = filepath.Join(dir, "faces")
	var lines []string
	for p := range 4 {
		person := synthface.NewPerson(int64(p + 1))
		for k := range 2 {
			who := []synthface.Subject{{Person: person, Pose: synthface.Pose{Yaw: float64(12 * k)}}}
			if p == 3 && k == 1 {
				who = nil
			}
			shot := synthface.Render(synthface.Scene{Width: 240, Height: 240, Seed: int64(k + 1)}, who...)
			b, err := picture.EncodeJPEG(shot.Image, 90)
			if err != nil {
				t.Fatal(err)
			}
			name := filepath.Join(images, fmt.Sprintf("p%d", p), fmt.Sprintf("%d.jpg", k))
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		lines = append(lines, fmt.Sprintf("p%d/0.jpg\tp%d/1.jpg\t1", p, p), fmt.Sprintf("p%d/0.jpg\tp%d/1.jpg\t0", p, (p+1)%4))
	}
	pairs = filepath.Join(dir, "pairs.txt")
	if err := os.WriteFile(pairs, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	return pairs, images
}

func TestEval(t *testing.T) {
	pairs, images := renderSet(t)
	t.Run("reports everything", func(t *testing.T) { testEvalReport(t, pairs, images) })
	t.Run("measures both looks in bad light", func(t *testing.T) { testEvalLight(t, pairs, images) })
	t.Run("refuses", func(t *testing.T) { testEvalRefuses(t, pairs, images) })
}

func testEvalReport(t *testing.T, pairs, images string) {
	groups := filepath.Join(t.TempDir(), "groups.txt")
	if err := os.WriteFile(groups, []byte("p0\tone\np1\tone\np2\ttwo\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	det := filepath.Join(t.TempDir(), "det.svg")
	out := mustCLI(t, "eval", "--packs", testPacks, "--pack", "basic", "--pairs", pairs, "--images", images,
		"--groups", groups, "--identify", "2", "--halves", "--det", det, "--json")
	var r struct {
		Pack           string
		Images         int
		Failures       int `json:"failures_to_enrol"`
		EER, Accuracy  *float64
		FNMR           map[string]*float64
		Halves         []struct{ Images int }
		Groups         []struct{ Name string }
		Identification struct {
			Enrolled int
			FNIR     map[string]*float64
		}
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if r.Pack != "basic" || r.Images != 8 || r.Failures != 1 || r.EER == nil || r.Accuracy == nil {
		t.Errorf("report: %s", out)
	}
	if *r.EER < 0.25 {
		t.Errorf("EER %v: the picture without a face is a mate that fails", *r.EER)
	}
	for _, key := range []string{"1e-2", "1e-3", "1e-4"} {
		if v, ok := r.FNMR[key]; !ok || v != nil {
			t.Errorf("fnmr %s: %v, want null: 18 impostors say nothing about it", key, v)
		}
	}
	if len(r.Halves) != 2 || len(r.Groups) != 2 || r.Groups[0].Name != "one" || r.Identification.Enrolled != 2 {
		t.Errorf("groups or identification: %s", out)
	}
	b, err := os.ReadFile(det)
	if err != nil {
		t.Fatal(err)
	}
	for dec := xml.NewDecoder(strings.NewReader(string(b))); ; {
		if _, err := dec.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("plot: %v", err)
		}
	}
}

func testEvalLight(t *testing.T, pairs, images string) {
	out := mustCLI(t, "eval", "--packs", testPacks, "--pack", "basic", "--pairs", pairs, "--images", images, "--stress-light", "3")
	for _, want := range []string{"in bad light (seed 3):", "in bad light (seed 3), one look:", "by group", "FMR", "unknown"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func testEvalRefuses(t *testing.T, pairs, images string) {
	absent := filepath.Join(t.TempDir(), "absent.txt")
	outside := filepath.Join(t.TempDir(), "outside.txt")
	if err := os.WriteFile(outside, []byte("p0/0.jpg\tp0/9.jpg\t1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	base := []string{"eval", "--packs", testPacks, "--pack", "basic", "--images", images, "--pairs"}
	for name, args := range map[string][]string{
		"no pairs":            {"eval", "--images", images},
		"no such pairs file":  append(base, absent),
		"an image is missing": append(base, outside),
		"two stresses":        append(base, pairs, "--stress", "1", "--stress-light", "1"),
		"light in a calibration": append(base, pairs, "--stress-light", "1", "--calibration",
			filepath.Join(t.TempDir(), "c.json")),
		"nobody stays a stranger": append(base, pairs, "--identify", "4"),
		"another word":            append(base, pairs, "please"),
		"no such pack":            {"eval", "--packs", testPacks, "--pack", "none", "--images", images, "--pairs", pairs},
	} {
		if out, errs, code := cli(t, nil, args...); code != 2 || errs == "" {
			t.Errorf("%s: status %d, %q, %q", name, code, out, errs)
		}
	}
}

func TestRateKey(t *testing.T) {
	for rate, want := range map[float64]string{1e-2: "1e-2", 1e-4: "1e-4", 0.1: "1e-1", 3e-2: "3e-2", 1e-10: "1e-10"} {
		if got := rateKey(rate); got != want {
			t.Errorf("rateKey(%g) = %q, want %q", rate, got, want)
		}
	}
}

func TestSubject(t *testing.T) {
	face := func(x, y, half float64) engine.Face {
		return engine.Face{Box: engine.Rect{X0: x - half, Y0: y - half, X1: x + half, Y1: y + half}}
	}
	middle := image.Pt(100, 100)
	for _, c := range []struct {
		name  string
		faces []engine.Face
		want  int // -1: nobody
	}{
		{"nobody", nil, -1},
		{"somebody at the edge", []engine.Face{face(20, 20, 30)}, -1},
		{"a larger one beside", []engine.Face{face(170, 100, 80), face(104, 98, 30)}, 1},
	} {
		got, err := subject(c.faces, middle)
		switch {
		case c.want < 0 && !errors.Is(err, accuracy.ErrFailure):
			t.Errorf("%s: %v, %v", c.name, got.Box, err)
		case c.want >= 0 && (err != nil || got.Box != c.faces[c.want].Box):
			t.Errorf("%s: %v, %v", c.name, got.Box, err)
		}
	}
}
