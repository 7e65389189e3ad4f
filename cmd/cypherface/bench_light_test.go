package main

import (
	"errors"
	"testing"

	"github.com/cypherface/edge/engine/tflite"
	"github.com/cypherface/edge/internal/synthface"
	"github.com/cypherface/edge/models"
)

// A person before a window is too dark for use as a webcam exposes by itself,
// and is recognised when the face is exposed for. In light from the side nothing
// is lost by it.
func TestSteeringHelpsBackLitFaces(t *testing.T) {
	pack, err := models.Default(testPacks)
	if err != nil {
		t.Fatal(err)
	}
	e, networks, err := tflite.OpenEngine(pack, tflite.Options{})
	if errors.Is(err, tflite.ErrNoRuntime) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	defer networks.Close()
	b := lightBench{engine: e, cal: &pack.Calibration}
	threshold, _ := pack.Calibration.Threshold(1e-4)
	ada := synthface.Cast()[0]
	rows := map[string][]lightRow{}
	for _, l := range lights {
		if l.name != "far behind" && l.name != "side, 95°" {
			continue
		}
		r := make([]lightRow, 2)
		if err := b.person(t.Context(), ada, l.light, threshold, r); err != nil {
			t.Fatal(err)
		}
		for i := range r {
			r[i].mean()
		}
		rows[l.name] = r
		t.Logf("%s: automatic %+v, face %+v", l.name, r[0], r[1])
	}
	auto, face := rows["far behind"][0], rows["far behind"][1]
	if auto.Usable > 0.4 || face.Found < 1 || face.Usable < 1 || face.Score <= auto.Score || face.Match <= auto.Match {
		t.Errorf("light from behind: usable %.2f and score %.2f by itself, %.2f and %.2f steered", auto.Usable, auto.Score, face.Usable, face.Score)
	}
	auto, face = rows["side, 95°"][0], rows["side, 95°"][1]
	if face.Found < auto.Found || face.Score < auto.Score-0.05 || face.Reasons["side_lit"] == 0 {
		t.Errorf("light from the side: found %.2f score %.2f by itself, %.2f %.2f steered; reasons %v", auto.Found, auto.Score, face.Found, face.Score, face.Reasons)
	}
}
