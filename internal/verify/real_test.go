//go:build cgo

package verify_test

import (
	"image"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/engine/tflite"
	"github.com/cypherface/edge/internal/synthface"
	"github.com/cypherface/edge/models"
	"github.com/cypherface/edge/store"
)

// onRealNetworks runs a test on a box with each installed pack.
func onRealNetworks(t *testing.T, test func(t *testing.T, b *box)) {
	packs, err := models.Installed("../../.deps/packs")
	if err != nil || len(packs) == 0 {
		t.Fatalf("no pack is installed: %v (make setup installs them)", err)
	}
	for _, pack := range packs {
		t.Run(pack.Name, func(t *testing.T) {
			eng, networks, err := tflite.OpenEngine(pack, tflite.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer networks.Close()
			test(t, newBoxOver(t, eng, synthetic(pack.Name)))
		})
	}
}

// synthetic is a calibration for rendered people, who resemble each other far
// more than real ones: it puts the usual policies between their mates and their
// impostors, which are 0.85 and 0.50 in the standard pack, 0.98 and 0.95 in the
// basic one, whose scores all lie close together.
func synthetic(pack string) *models.Calibration {
	c := &models.Calibration{Origin: "made up for rendered people", ImpostorPairs: 100_000_000, MatePairs: 1000,
		Points: []models.Point{{Score: 0.4, FMR: 1e-1}, {Score: 0.5, FMR: 1e-2}, {Score: 0.6, FMR: 1e-4}, {Score: 0.8, FMR: 1e-6}}}
	if pack == "basic" {
		c.Points = []models.Point{{Score: 0.9, FMR: 1e-1}, {Score: 0.94, FMR: 1e-2, FNMR: 0.05}, {Score: 0.965, FMR: 1e-4, FNMR: 0.3}, {Score: 0.975, FMR: 1e-6, FNMR: 0.4}}
	}
	return c
}

// portrait renders a person turned by yaw, in degrees.
func portrait(p *synthface.Person, yaw float64) image.Image {
	return synthface.Render(synthface.Scene{}, synthface.Subject{Person: p, Pose: synthface.Pose{Yaw: yaw}}).Image
}

// visit is a person who comes and looks, and then nobody for a while, at five
// frames a second.
func (r *reel) visit(p *synthface.Person) *reel {
	r.every = 200 * time.Millisecond
	for _, act := range []synthface.Act{synthface.Enter, synthface.Look} {
		for shot := range synthface.Perform(synthface.Subject{Person: p}, act, synthface.Scene{}, 5) {
			r.images = append(r.images, shot.Image)
		}
	}
	r.images = append(r.images, slices.Repeat([]*image.YCbCr{synthface.Render(synthface.Scene{}).Image}, 12)...)
	return r
}

// Rendered people walk up to real networks: those who are enrolled are known,
// the one who is not stays unknown.
func TestRealNetworksAtADoor(t *testing.T) {
	if testing.Short() {
		t.Skip("renders for some seconds")
	}
	onRealNetworks(t, knowsWhoIsEnrolled)
}

func knowsWhoIsEnrolled(t *testing.T, b *box) {
	cast := synthface.Cast()
	ada, bo, stranger := cast[0], cast[1], cast[2]
	var want []string
	for _, p := range []*synthface.Person{ada, bo} {
		id := b.person(0)
		e, err := b.enrol(id, portrait(p, 0), portrait(p, 12))
		if err != nil || e.Crops != 2 || e.Faces != 1 || e.PossibleDuplicateOf != "" {
			t.Fatalf("enrolment %+v, %v", e, err)
		}
		want = append(want, "match "+string(id)+" no_liveness+no_door")
	}
	got := b.play("", new(reel).visit(ada).visit(bo).visit(stranger))
	b.want(got, append(want, "no_match  unknown_face")...)

	b.Close()
	b.start()
	if r, err := b.identify(portrait(bo, -8)); err != nil || !strings.Contains(want[1], string(r.Person)) || !r.Match {
		t.Errorf("after a restart: %+v, %v", r, err)
	}
}

// A template made from a kept crop is nearly that of the image it was cut from:
// the crop is sampled once more. Two renders of one person differ far more.
func TestCropsKeepTheFace(t *testing.T) { onRealNetworks(t, keepsTheFace) }

func keepsTheFace(t *testing.T, b *box) {
	p := b.person(0)
	img := portrait(synthface.Cast()[0], 5)
	if _, err := b.enrol(p, img); err != nil {
		t.Fatal(err)
	}
	direct := all(b, store.TemplatesByPerson, store.Plain(p))[0]
	b.update(func(tx *store.Tx) error { return store.Delete[store.Template](tx, direct.ID) })
	if err := b.Reembed(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	again := all(b, store.TemplatesByPerson, store.Plain(p))[0]
	if cos := engine.Compare(direct.Vector, again.Vector); cos < 0.97 {
		t.Errorf("cosine %v, want at least 0.97", cos)
	}
}
