package synthface_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/engine/tflite"
	"github.com/cypherface/edge/internal/synthface"
	"github.com/cypherface/edge/models"
)

// packs are the networks that the cast is tried on, with the threshold of this
// test: the score that tells one member of the cast from another. They say
// nothing of real people: drawn faces are alike in ways that people are not.
var packs = []struct {
	name      string
	threshold float64
}{{"standard", .6}, {"basic", .965}}

// networks opens a pack that the set-up has made. It always makes the basic
// one; the standard one may not have been to be had.
func networks(t *testing.T, pack string) *engine.Engine {
	t.Helper()
	p, err := models.Open(filepath.Join("..", "..", ".deps", "packs", pack))
	if err != nil && pack == "standard" {
		t.Skipf("no standard pack: %v", err)
	}
	if err != nil {
		t.Fatalf("no %s pack: %v (make setup)", pack, err)
	}
	e, n, err := tflite.OpenEngine(p, tflite.Options{})
	if errors.Is(err, tflite.ErrNoRuntime) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return e
}

// look is what the networks make of one shot.
type look struct {
	found    bool
	score    float64
	offs     []float64 // of the keypoints, in eye distances
	template engine.Template
}

func lookAt(t *testing.T, e *engine.Engine, shot synthface.Shot) look {
	t.Helper()
	faces, err := e.Detect(context.Background(), shot.Image)
	if err != nil {
		t.Fatal(err)
	}
	if len(faces) == 0 {
		return look{}
	}
	l := look{found: true, score: faces[0].Score}
	truth := shot.Faces[0]
	eyes := math.Hypot(truth[0].X-truth[1].X, truth[0].Y-truth[1].Y)
	for i, k := range faces[0].Keypoints {
		l.offs = append(l.offs, math.Hypot(k.X-truth[i].X, k.Y-truth[i].Y)/eyes)
	}
	if l.template, err = e.Embed(context.Background(), shot.Image, faces[0]); err != nil {
		t.Fatal(err)
	}
	return l
}

// views are near-frontal shots of a person in other light, place, pose,
// expression, room and noise.
func views(p *synthface.Person) []synthface.Shot {
	var shots []synthface.Shot
	for i, v := range []struct {
		pose  synthface.Pose
		light synthface.Light
		face  synthface.Expression
	}{
		{synthface.Pose{Distance: 60, Y: -1.5}, synthface.Light{}, synthface.Expression{Smile: .3}},
		{synthface.Pose{Distance: 80, X: 6, Yaw: -12, Roll: 4}, synthface.Light{Azimuth: -35, Elevation: 15}, synthface.Expression{}},
		{synthface.Pose{Distance: 52, Y: -2, Yaw: 14, Pitch: 6}, synthface.Light{Azimuth: 50, Elevation: 25, Warmth: .7}, synthface.Expression{Smile: .8}},
	} {
		s := synthface.Scene{Light: v.light, Room: int64(i), Noise: 1.5 + float64(i), Seed: int64(i)}
		shots = append(shots, synthface.Render(s, synthface.Subject{Person: p, Pose: v.pose, Expression: v.face}))
	}
	return shots
}

func TestNetworksSeeTheCast(t *testing.T) {
	cast := synthface.Cast()
	shots := make([][]synthface.Shot, len(cast))
	for _, pack := range packs {
		t.Run(pack.name, func(t *testing.T) {
			e := networks(t, pack.name)
			looks := make([][]look, len(cast))
			var scores, offs []float64
			for i, p := range cast {
				if shots[i] == nil {
					shots[i] = views(p)
				}
				for j, shot := range shots[i] {
					l := lookAt(t, e, shot)
					if !l.found || l.score < .7 {
						t.Fatalf("%s, view %d: found %v, score %.2f", p.Name, j, l.found, l.score)
					}
					scores, offs = append(scores, l.score), append(offs, l.offs...)
					looks[i] = append(looks[i], l)
				}
			}
			slices.Sort(scores)
			slices.Sort(offs)
			mates, impostors := compare(looks)
			t.Logf("detection scores p5 %.2f p50 %.2f; keypoints off by p50 %.2f p95 %.2f eye distances", at(scores, .05), at(scores, .5), at(offs, .5), at(offs, .95))
			t.Logf("mates min %.3f p50 %.3f; impostors p50 %.3f p99 %.3f max %.3f (%d pairs)", mates[0], at(mates, .5), at(impostors, .5), at(impostors, .99), at(impostors, 1), len(impostors))
			if at(offs, .95) > .4 {
				t.Errorf("the keypoints are not where the network finds them: p95 %.2f eye distances", at(offs, .95))
			}
			if mates[0] <= pack.threshold || at(impostors, 1) >= pack.threshold {
				t.Errorf("%.2f does not tell the cast apart: mates from %.3f, impostors to %.3f", pack.threshold, mates[0], at(impostors, 1))
			}
		})
	}
}

// compare returns the sorted scores of all pairs of one person and of two.
func compare(looks [][]look) (mates, impostors []float64) {
	for i := range looks {
		for j := range i + 1 {
			for a, l := range looks[i] {
				for b, m := range looks[j] {
					switch score := engine.Compare(l.template, m.template); {
					case i != j:
						impostors = append(impostors, score)
					case a < b:
						mates = append(mates, score)
					}
				}
			}
		}
	}
	slices.Sort(mates)
	slices.Sort(impostors)
	return mates, impostors
}

// at is a quantile of sorted values.
func at(sorted []float64, q float64) float64 { return sorted[int(q*float64(len(sorted)-1))] }

// A clip that the demo plays is found in nearly every frame in which the
// visitor stands before the camera.
func TestNetworksFollowAVisit(t *testing.T) {
	e := networks(t, "basic")
	who := synthface.Subject{Person: synthface.Cast()[0]}
	for _, act := range []synthface.Act{synthface.Look, synthface.Turn, synthface.OpenMouth} {
		found, n := 0, 0
		for shot := range synthface.Perform(who, act, synthface.Scene{}, 2) {
			if n++; lookAt(t, e, shot).found {
				found++
			}
		}
		if found < n {
			t.Errorf("%v: found in %d of %d frames", act, found, n)
		}
	}
}

func Example() {
	ada := synthface.Cast()[0]
	shot := synthface.Render(synthface.Scene{}, synthface.Subject{Person: ada, Pose: synthface.Pose{Yaw: 10}})
	nose := shot.Faces[0][synthface.NoseTip]
	fmt.Println(shot.Image.Bounds().Size(), "nose right of the middle:", nose.X > 320)
	// Output: (640,480) nose right of the middle: true
}
