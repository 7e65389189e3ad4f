//go:build cgo

package verify_test

import (
	"context"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/cypherface/edge/camera"
	"github.com/cypherface/edge/engine/liveness"
	"github.com/cypherface/edge/internal/synthface"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/store"
)

// actor is a camera that renders who stands before a door, and does what the door
// asks. Its time runs as fast as it is read.
type actor struct {
	synthface.Renderer
	who   synthface.Subject
	swap  synthface.Subject // takes who's place once he has looked straight, if it is anybody
	stays time.Duration     // then he is gone

	at     time.Duration
	heard  liveness.Move   // what the door asks now,
	react  time.Duration   // and when he does it
	asked  []liveness.Move // by the door, in their order
	pose   synthface.Pose  // how far the head is
	target synthface.Pose
}

const (
	actorEvery = 150 * time.Millisecond
	actorGone  = 4 * time.Second // out of sight, at the end
)

// saw hears what the door asks for.
func (a *actor) saw(v verify.View) {
	if len(v.Faces) == 0 {
		return
	}
	s := v.Faces[0]
	if a.heard != s.Move {
		a.heard, a.react = s.Move, a.at+600*time.Millisecond
		if s.Move != "" {
			a.asked = append(a.asked, s.Move)
		} else {
			a.stays = min(a.stays, a.at) // it is decided
		}
		if a.swap != (synthface.Subject{}) && len(a.asked) == 2 {
			a.who = a.swap
		}
	}
	if a.at < a.react {
		return
	}
	a.target = synthface.Pose{}
	switch s.Move {
	case liveness.Left:
		a.target.Yaw = 28
	case liveness.Right:
		a.target.Yaw = -28
	case liveness.Up:
		a.target.Pitch = 17
	case liveness.Down:
		a.target.Pitch = -17
	case liveness.Closer:
		a.target.Distance = -16
	}
}

// Next renders a frame: the head is a little nearer to where it should be,
// and sways as heads do.
func (a *actor) Next(ctx context.Context) (camera.Frame, error) {
	if a.at > a.stays+actorGone {
		return camera.Frame{}, io.EOF
	}
	a.at += actorEvery
	t := a.at.Seconds()
	near := func(p *float64, to float64) { *p += (to - *p) * .3 }
	near(&a.pose.Yaw, a.target.Yaw)
	near(&a.pose.Pitch, a.target.Pitch)
	near(&a.pose.Distance, a.target.Distance)
	scene := synthface.Scene{Room: 3, Seed: int64(a.at)}
	subjects := []synthface.Subject{a.who}
	subjects[0].Pose = synthface.Pose{
		Yaw: a.pose.Yaw + 1.6*math.Sin(2.1*t), Pitch: a.pose.Pitch + 1.2*math.Sin(1.7*t+1), Roll: .8 * math.Sin(1.3*t+2),
		X: .5 * math.Sin(1.9*t), Y: -1 + .2*math.Sin(2.3*t), Distance: 58 + a.pose.Distance + .5*math.Sin(.9*t)}
	subjects[0].Expression = synthface.Expression{Smile: .3 + .1*math.Sin(t)}
	if a.at > a.stays {
		subjects = nil
	}
	img := a.Render(scene, subjects...).Image
	return camera.Frame{Image: img, Time: time.Unix(1e9, 0).Add(a.at), Seq: uint64(a.at / actorEvery)}, ctx.Err()
}

func (a *actor) Close() error { return nil }

// stand has somebody stand before a door and returns what was recorded.
func (b *box) stand(door store.DoorID, a *actor) []string {
	b.Helper()
	return b.watch(door, a, a.saw)
}

// What a door makes of living people and of pictures, on real networks.
func TestADoorAsksForLife(t *testing.T) {
	if testing.Short() {
		t.Skip("renders for some seconds")
	}
	onRealNetworks(t, func(t *testing.T, b *box) {
		if !strings.HasSuffix(t.Name(), "/standard") {
			t.Skip("the score is calibrated on the pack standard")
		}
		asksForLife(t, b)
	})
}

func asksForLife(t *testing.T, b *box) {
	b.Close()
	eye := &onlooker{Engine: b.real} // which has nothing against anybody
	b.real = eye
	b.start()
	ada, bo := synthface.Cast()[0], synthface.Cast()[1]
	id := b.person(0)
	if _, err := b.enrol(id, portrait(ada, 0), portrait(ada, 12)); err != nil {
		t.Fatal(err)
	}
	doors := map[store.DoorLiveness]store.DoorID{}
	for _, mode := range []store.DoorLiveness{store.LivenessOff, store.LivenessPassive, store.LivenessActive} {
		doors[mode] = b.door(store.DoorPolicy{Liveness: mode}, store.Grant{Person: id})
	}
	photo := synthface.Render(synthface.Scene{Width: 800, Height: 600, Noise: .7}, synthface.Subject{Person: ada, Pose: synthface.Pose{Distance: 44, Y: -1}})
	person, print := synthface.Subject{Person: ada}, synthface.Subject{Print: &synthface.Print{Of: photo}}
	for _, tt := range []struct {
		name  string
		mode  store.DoorLiveness
		actor actor
		want  string // outcome, and the first of the reasons
		tries int    // that it may take: some of the living are turned away
	}{
		{"a person", store.LivenessActive, actor{who: person, stays: 12 * time.Second}, "match active_proof", 3},
		{"a print that is turned", store.LivenessActive, actor{who: print, stays: 7 * time.Second}, "denied no_liveness", 1},
		{"somebody else goes on", store.LivenessActive, actor{who: person, swap: synthface.Subject{Person: bo}, stays: 12 * time.Second}, "denied no_liveness", 1},
		{"a person", store.LivenessPassive, actor{who: person, stays: 5 * time.Second}, "match passive_proof", 3},
		{"a print", store.LivenessPassive, actor{who: print, stays: 5 * time.Second}, "denied no_liveness", 1},
		{"a print where nobody asks", store.LivenessOff, actor{who: print, stays: 2 * time.Second}, "match no_liveness", 1},
	} {
		outcome, reasons, _ := strings.Cut(tt.want, " ")
		want := outcome + " " + string(id) + " " + reasons
		var got []string
		eye.asked = 0
		for try := range tt.tries {
			a := tt.actor
			got = b.stand(doors[tt.mode], &a)
			t.Logf("%s, %s, try %d: %v, asked for %v", tt.mode, tt.name, try+1, got, a.asked)
			if asks := len(a.asked) > 0; asks != (tt.mode == store.LivenessActive) {
				t.Errorf("%s, %s: asked for %v", tt.mode, tt.name, a.asked)
			}
			if len(got) > 0 && strings.HasPrefix(got[0], want) {
				break
			}
		}
		if len(got) == 0 || !strings.HasPrefix(got[0], want) {
			t.Errorf("%s, %s: recorded %q, want %q first", tt.mode, tt.name, got, want)
		}
		if asked := eye.asked > 0; asked != (tt.mode != store.LivenessOff) {
			t.Errorf("%s, %s: the network against attacks was asked %d times", tt.mode, tt.name, eye.asked)
		}
	}
}
