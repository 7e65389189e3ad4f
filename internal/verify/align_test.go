//go:build cgo

package verify_test

import (
	"bufio"
	"flag"
	"image"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/engine/tflite"
	pictures "github.com/cypherface/edge/internal/picture"
	"github.com/cypherface/edge/internal/synthface"
	"github.com/cypherface/edge/models"
	"github.com/cypherface/edge/store"
)

var alignPairs = flag.Int("align", 0, "measure crops of another pack on so many pairs of ../shared/faces")

// openPack opens an installed pack; the test is skipped where it is not there.
func openPack(t *testing.T, name string) (*engine.Engine, *models.Calibration) {
	t.Helper()
	p, err := models.Open(filepath.Join("../../.deps/packs", name))
	if err != nil {
		t.Skipf("takes two packs: %v", err)
	}
	e, networks, err := tflite.OpenEngine(p, tflite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { networks.Close() })
	return e, &p.Calibration
}

// embed is the template of the dominant face of an image.
func embed(t *testing.T, e *engine.Engine, img image.Image) engine.Template {
	t.Helper()
	faces, err := e.Detect(t.Context(), img)
	if err != nil {
		t.Fatal(err)
	}
	if len(faces) == 0 {
		return nil
	}
	v, err := e.Embed(t.Context(), img, faces[0])
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// migrated enrols an image with one pack and returns the template that another
// makes of the crop.
func (b *box) migrated(img image.Image, from, to *engine.Engine) engine.Template {
	b.Helper()
	p := b.person(0)
	if _, err := b.enrol(p, img); err != nil {
		return nil // turned away for its quality
	}
	b.Close()
	b.real = to
	b.start()
	if err := b.Reembed(b.Context(), nil); err != nil {
		b.Fatal(err)
	}
	var made store.Template
	b.view(func(tx *store.Tx) (err error) {
		made, err = store.Get[store.Template](tx, store.NewTemplateID(p, to.Space()))
		return err
	})
	b.update(func(tx *store.Tx) error { return store.Erase(tx, p) })
	b.Close()
	b.real = from
	b.start()
	return made.Vector
}

// A crop that one pack cut is aligned by the landmarks of the other before that
// embeds it: its template is nearly that of the image itself.
func TestCropsOfAnotherPackAreAligned(t *testing.T) {
	basic, _ := openPack(t, "basic")
	standard, _ := openPack(t, "standard")
	b := newBoxOver(t, basic, synthetic("basic"))
	img := portrait(synthface.Cast()[1], 8)
	if cos := engine.Compare(embed(t, standard, img), b.migrated(img, basic, standard)); cos < 0.97 {
		t.Errorf("cosine %v, want at least 0.97", cos)
	}
}

// TestMeasureAlignment says what a change of the pack costs in recognition: the
// mates of ../shared/faces whose enrolled image went through the crop of the other
// pack, beside those whose image was embedded directly. With -align 500.
func TestMeasureAlignment(t *testing.T) {
	if *alignPairs == 0 {
		t.Skip("measures for a minute; -args -align 500")
	}
	for _, way := range [][2]string{{"basic", "standard"}, {"standard", "basic"}} {
		from, _ := openPack(t, way[0])
		to, calibration := openPack(t, way[1])
		b := newBoxOver(t, from, synthetic(way[0]))
		threshold, _ := calibration.Threshold(1e-4)
		var agree []float64
		missed, missedDirect := 0, 0
		for _, pair := range matePairs(t) {
			if len(agree) == *alignPairs {
				break
			}
			direct, probe := embed(t, to, pair[0]), embed(t, to, pair[1])
			through := b.migrated(pair[0], from, to)
			if direct == nil || probe == nil || through == nil {
				continue
			}
			agree = append(agree, engine.Compare(direct, through))
			if engine.Compare(direct, probe) < threshold {
				missedDirect++
			}
			if engine.Compare(through, probe) < threshold {
				missed++
			}
		}
		slices.Sort(agree)
		n := len(agree)
		t.Logf("%s → %s: %d pairs; cosine of the migrated template with the direct one: median %.4f, 5th percentile %.4f; mates below FMR 1e-4: %d migrated, %d direct",
			way[0], way[1], n, agree[n/2], agree[n/20], missed, missedDirect)
	}
}

// matePairs are pairs of photographs of one person.
func matePairs(t *testing.T) (pairs [][2]image.Image) {
	t.Helper()
	const faces = "../../../shared/faces"
	f, err := os.Open(filepath.Join(faces, "pairs.txt"))
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	read := func(name string) image.Image {
		raw, err := os.ReadFile(filepath.Join(faces, "lfw", name))
		if err != nil {
			t.Fatal(err)
		}
		p, err := pictures.Decode(raw, pictures.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		return p.Image
	}
	for lines := bufio.NewScanner(f); lines.Scan() && len(pairs) < 2**alignPairs; {
		if field := strings.Split(lines.Text(), "\t"); len(field) == 3 && field[2] == "1" {
			pairs = append(pairs, [2]image.Image{read(field[0]), read(field[1])})
		}
	}
	return pairs
}
