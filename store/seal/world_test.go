package seal_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/store/seal"
)

// A world is a data folder with two people about whom everything is known that a
// store can know, told by markers.
type world struct {
	*testing.T
	dir      string
	store    *bolt.Store
	recorder *recorder
	ada, bob store.Person
	decision store.Event // about ada
}

// recorder keeps all that is ever sealed, as pages that were freed might.
type recorder struct {
	store.Keyring
	cut bool // Forget does not come to pass

	mu     sync.Mutex // protects values
	values []sealed
}

type sealed struct {
	at    store.Place
	value []byte
}

func (r *recorder) Seal(at store.Place, plain []byte) ([]byte, error) {
	b, err := r.Keyring.Seal(at, plain)
	r.mu.Lock()
	defer r.mu.Unlock()
	at.Key = bytes.Clone(at.Key)
	r.values = append(r.values, sealed{at, bytes.Clone(b)})
	return b, err
}

var errCut = errors.New("cut")

func (r *recorder) Forget(people ...store.PersonTag) error {
	if r.cut {
		return errCut
	}
	return r.Keyring.Forget(people...)
}

// Long enough not to turn up in random bytes, in any spelling.
const markerOfAda, markerOfBob, markerOfOwner = "LovelaceOfOckham", "BabbageOfWalworth", "WheatstoneOfBarnwood"

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, dir: filepath.Join(t.TempDir(), "data")}
	w.open()
	w.people()
	return w
}

// people makes the two.
func (w *world) people() {
	w.Helper()
	w.ada, w.decision = w.furnish(markerOfAda)
	w.bob, _ = w.furnish(markerOfBob)
}

// options opens a keyring that records.
func (w *world) options() bolt.Options {
	return bolt.Options{Environment: store.Sandbox, NoSync: true, Keyring: func() (store.Keyring, error) {
		ring, err := seal.Opener(store.Sandbox, seal.MasterOptions{Dir: w.dir})()
		if w.recorder == nil {
			w.recorder = &recorder{}
		}
		w.recorder.Keyring = ring
		return w.recorder, err
	}}
}

func (w *world) path() string { return bolt.Path(w.dir, store.Sandbox) }

func (w *world) open() {
	w.Helper()
	if w.store != nil {
		if err := w.store.Close(); err != nil {
			w.Fatal(err)
		}
	}
	var err error
	if w.store, err = bolt.Open(w.path(), w.options()); err != nil {
		w.Fatal(err)
	}
	s := w.store
	w.Cleanup(func() { s.Close() })
}

var cause = store.Cause{Actor: store.Actor{Kind: store.ActorSystem, ID: "test"}}

func (w *world) update(fn func(tx *store.Tx) error) {
	w.Helper()
	if err := w.store.Update(w.Context(), cause, fn); err != nil {
		w.Fatal(err)
	}
}

func (w *world) view(fn func(tx *store.Tx) error) {
	w.Helper()
	if err := w.store.View(w.Context(), fn); err != nil {
		w.Fatal(err)
	}
}

// vector is a template whose bytes are a marker too.
func vector(marker string) []float32 {
	v := make([]float32, 64)
	for i := range v {
		v[i] = math.Float32frombits(0x3d000000 | uint32(marker[i%len(marker)])<<8 | uint32(marker[(i+3)%len(marker)]))
	}
	return v
}

func vectorBytes(marker string) (b []byte) {
	for _, x := range vector(marker)[:8] {
		n := math.Float32bits(x)
		b = append(b, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
	}
	return b
}

// furnish puts the marker wherever there is room for something personal.
func (w *world) furnish(marker string) (p store.Person, decision store.Event) {
	w.Helper()
	p = store.Person{
		ID: store.NewID[store.PersonID](time.Now()), Merchant: "m", Firstname: marker + "-first", Lastname: marker, Phone: marker,
		Email: marker + "@example.org", ExternalID: marker + "-7", Password: marker, Status: store.PersonEnrolled,
	}
	space := store.NewTemplateID(p.ID, "x")
	w.update(func(tx *store.Tx) (err error) {
		decision, err = store.Append(tx, store.Event{Kind: store.EventDecision, Merchant: "m", Person: p.ID}, map[string]string{"name": marker})
		return errors.Join(err,
			store.Put(tx, &p),
			store.Put(tx, &store.Crop{ID: store.NewID[store.CropID](tx.Time()), Merchant: "m", Person: p.ID, Image: []byte(marker), Source: marker}),
			store.Put(tx, &store.Template{ID: space, Merchant: "m", Person: p.ID, Space: "x", Vector: vector(marker)}),
			store.Put(tx, &store.Image{ID: store.ImageID(space), Merchant: "m", Person: p.ID, Name: marker + ".jpg", Data: []byte(marker)}),
			store.Put(tx, &store.Ticket{ID: store.NewUUID[store.TicketID](), Merchant: "m", Person: p.ID, Name: marker + ".jpg"}),
			store.Put(tx, &store.Grant{ID: store.NewID[store.GrantID](tx.Time()), Merchant: "m", Person: p.ID, Door: "d"}),
			store.Put(tx, &store.Session{ID: store.NewUUID[store.SessionID](), Merchant: "m", Person: p.ID}),
			store.Put(tx, &store.Review{ID: store.NewID[store.ReviewID](tx.Time()), Merchant: "m", Persons: []store.PersonID{p.ID}}),
			store.Put(tx, &store.Consent{ID: store.NewID[store.ConsentID](tx.Time()), Merchant: "m", Person: p.ID, Version: marker}),
			store.Put(tx, &store.Sighting{ID: p.ID, Merchant: "m", Person: p.ID}),
			store.Put(tx, &store.Credential{ID: store.NewID[store.CredentialID](tx.Time()), Merchant: "m", Person: p.ID, Type: store.CredentialPIN, Label: marker}),
			store.Put(tx, &store.Candidate{ID: store.NewID[store.CropID](tx.Time()), Merchant: "m", Person: p.ID, Image: []byte(marker)}),
			store.Put(tx, &store.Former{ID: store.FormerID("of " + p.ID), Merchant: "m", Person: p.ID}),
		)
	})
	for i := range 3 { // old versions of a record lie in freed pages
		w.update(func(tx *store.Tx) error {
			p.Phone = strings.Repeat(marker, i+1)
			return store.Put(tx, &p)
		})
	}
	return p, decision
}

// lines is how many indexed counts: one of each kind of record, and of the person
// e-mail and external id. values is how many values are sealed for a person: each
// record but the review, which has several, and a personal part.
var (
	lines  = len(store.PersonKinds()) + 1
	values = len(store.PersonKinds())
)

// indexed counts the lines of a person in all indexes but that of events.
func (w *world) indexed(p store.Person) (n int) {
	w.Helper()
	count := func(m int, err error) {
		if err != nil {
			w.Fatal(err)
		}
		n += m
	}
	w.view(func(tx *store.Tx) error {
		of := store.Plain(p.ID)
		count(store.Count(tx, store.CropsByPerson, of))
		count(store.Count(tx, store.TemplatesByPerson, of))
		count(store.Count(tx, store.ImagesByPerson, of))
		count(store.Count(tx, store.TicketsByPerson, of))
		count(store.Count(tx, store.GrantsByPerson, of))
		count(store.Count(tx, store.SessionsByPerson, of))
		count(store.Count(tx, store.ReviewsByPerson, of))
		count(store.Count(tx, store.ConsentsByPerson, of))
		count(store.Count(tx, store.SightingsByPerson, of))
		count(store.Count(tx, store.CredentialsByPerson, of))
		count(store.Count(tx, store.CandidatesByPerson, of))
		count(store.Count(tx, store.FormersByPerson, of))
		count(store.Count(tx, store.PersonByEmail, store.Plain(p.Merchant), store.Email(p.Email)))
		count(store.Count(tx, store.PersonByExternalID, store.Plain(p.Merchant), store.Hidden(p.ExternalID)))
		return nil
	})
	return n
}

// checkBob: the one who was not erased has everything still.
func (w *world) checkBob() {
	w.Helper()
	if n := w.indexed(w.bob); n != lines {
		w.Errorf("%d lines of the other person, want %d", n, lines)
	}
	w.view(func(tx *store.Tx) error {
		p, err := store.Find(tx, store.PersonByEmail, store.Plain("m"), store.Email(w.bob.Email))
		if err != nil || p != w.bob {
			w.Errorf("the other person is %+v, %v", p, err)
		}
		t, err := store.Get[store.Template](tx, store.NewTemplateID(w.bob.ID, "x"))
		if err != nil || t.Vector[3] != vector(markerOfBob)[3] {
			w.Errorf("the other person's template: %v, %v", t, err)
		}
		page, err := store.List(tx, store.PersonsByMerchant, store.Query[store.Person]{})
		for _, p := range page.Items {
			if p != w.bob && p.ID != w.ada.ID {
				w.Errorf("listed: %+v", p)
			}
		}
		return err
	})
}

// checkGone: nobody finds the erased person by any way.
func (w *world) checkGone() {
	w.Helper()
	if n := w.indexed(w.ada); n != 0 {
		w.Errorf("%d lines of the erased person", n)
	}
	w.view(func(tx *store.Tx) error {
		if _, err := store.Get[store.Person](tx, w.ada.ID); !errors.Is(err, store.ErrNotFound) {
			w.Errorf("get: %v, want ErrNotFound", err)
		}
		var got any
		if err := store.Personal(tx, &w.decision, &got); !errors.Is(err, store.ErrNotFound) {
			w.Errorf("personal part: %v, %v, want ErrNotFound", got, err)
		}
		page, err := store.List(tx, store.PersonsByMerchant, store.Query[store.Person]{})
		if len(page.Items) != 1 {
			w.Errorf("%d people are listed, want 1", len(page.Items))
		}
		return err
	})
}

// scan looks through all files below a folder for a marker, as it is, in hex, in
// base64, and as a template.
func (w *world) scan(dir, marker string) (found []string) {
	w.Helper()
	needles := map[string][]byte{"text": []byte(marker), "lower": []byte(strings.ToLower(marker)), "template": vectorBytes(marker),
		"hex": []byte(hex.EncodeToString([]byte(marker)))}
	for i := range 3 { // whatever stands before it
		b := base64.StdEncoding.EncodeToString(append(make([]byte, i), marker...))
		needles["base64 "+string(rune('0'+i))] = []byte(b[(i*8+5)/6+1 : len(b)-4])
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		for name, needle := range needles {
			if bytes.Contains(b, needle) {
				found = append(found, path+": "+name)
			}
		}
		if strings.Contains(strings.ToLower(path), strings.ToLower(marker)) {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
	return found
}
