package daemon

import (
	"errors"
	"image"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cypherface/edge/engine/tflite"
	"github.com/cypherface/edge/internal/synthface"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/models"
	"github.com/cypherface/edge/store"
)

// enrolled registers somebody of the demo camera's cast, with a face.
func (b *doorBox) enrolled(p *synthface.Person) store.PersonID {
	b.t.Helper()
	person := store.Person{ID: store.NewID[store.PersonID](time.Now()), Merchant: b.merchant, Status: store.PersonRegistered}
	if err := b.store.Update(b.t.Context(), systemCause, func(tx *store.Tx) error { return store.Put(tx, &person) }); err != nil {
		b.t.Fatal(err)
	}
	var images []image.Image
	for _, yaw := range []float64{0, 12} {
		images = append(images, synthface.Render(synthface.Scene{}, synthface.Subject{Person: p, Pose: synthface.Pose{Yaw: yaw}}).Image)
	}
	if _, err := b.service.Enrol(b.t.Context(), verify.EnrolRequest{Cause: systemCause, Merchant: b.merchant, Person: person.ID, Images: images, Source: "test"}); err != nil {
		b.t.Fatal(err)
	}
	return person.ID
}

// decided waits until a door has decided n times about a person, or let him pass once,
// and lists all as "outcome reasons".
func (b *doorBox) decided(door store.DoorID, person store.PersonID, n int) (all []string) {
	b.t.Helper()
	for deadline := time.Now().Add(10 * time.Minute); time.Now().Before(deadline); time.Sleep(time.Second) {
		all = nil
		err := b.store.View(b.t.Context(), func(tx *store.Tx) error {
			for e, err := range store.All(tx, store.EventsByPerson, store.Plain(person)) {
				if err != nil {
					return err
				}
				if e.Kind == store.EventDecision && e.Door == door {
					all = append(all, string(e.Outcome)+" "+strings.Join(e.Reasons, " "))
				}
			}
			return nil
		})
		if err != nil {
			b.t.Fatal(err)
		}
		if len(all) == n || slices.ContainsFunc(all, func(s string) bool { return strings.HasPrefix(s, "match") }) {
			return all
		}
	}
	b.t.Fatalf("door %s decided %q", door, all)
	return nil
}

// At a door of the sandbox, the people of the demo camera do what it asks for and may
// pass. Time is virtual, so that nothing depends on how fast the machine is.
func TestADoorOfTheDemoCamera(t *testing.T) {
	if testing.Short() {
		t.Skip("renders for half a minute")
	}
	needNetworks(t)
	pack, err := models.Default(packs)
	if err != nil {
		t.Fatal(err)
	}
	if pack.Name != "standard" {
		t.Skipf("pack %s: the score of liveness is calibrated on standard", pack.Name)
	}
	synctest.Test(t, func(t *testing.T) {
		eng, networks, err := tflite.OpenEngine(pack, tflite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { networks.Close() })
		b := newDoorBoxOver(t, eng, &pack.Calibration)
		ada := b.enrolled(synthface.Cast()[0])
		door := b.door("", "none:")
		err = b.store.Update(t.Context(), systemCause, func(tx *store.Tx) error {
			d, err := store.Get[store.Door](tx, door)
			if err != nil {
				return err
			}
			d.Camera, d.Policy.CoolDown = "demo:?person=1&fps=5", 2*time.Second // she comes back soon
			g := store.Grant{ID: store.NewID[store.GrantID](time.Now()), Merchant: b.merchant, Person: ada, Door: door}
			return errors.Join(store.Put(tx, &d), store.Put(tx, &g))
		})
		if err != nil {
			t.Fatal(err)
		}
		got := b.decided(door, ada, 4) // now and then somebody alive is turned away
		t.Logf("recorded %q", got)
		if got[len(got)-1] != "match active_proof" {
			t.Errorf("recorded %q, want a match at last", got)
		}
	})
}
