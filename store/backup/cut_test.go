package backup

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/seal"
)

var errCut = errors.New("cut")

// cutter cuts a restore at a step.
type cutter struct {
	left  int
	taken []string
}

func (c *cutter) step(name string) error {
	c.taken = append(c.taken, name)
	if c.left == 0 {
		return errCut
	}
	c.left--
	return nil
}

// TestCutRestore cuts restores at their first step, then at their second, and so on:
// what opens afterwards is the box from before or the restored one, each whole, and
// another try completes it.
func TestCutRestore(t *testing.T) {
	for name, tt := range map[string]struct {
		prepare    func(t *testing.T) (*box, func() Plan)
		old, fresh string
	}{
		"in place":  {prepareInPlace, "bob eve", "bob"},
		"elsewhere": {prepareElsewhere, "", "ada bob"},
		"hot copy":  {prepareCopy, "bob eve", "bob"},
		"foreign":   {prepareForeign, "eve", "ada bob"},
	} {
		t.Run(name, func(t *testing.T) {
			for n := 0; ; n++ {
				b, plan := tt.prepare(t)
				c := &cutter{left: n}
				p := plan()
				p.step = c.step
				_, err := Restore(t.Context(), p)
				if err != nil && !errors.Is(err, errCut) {
					t.Fatalf("cut %d: %v", n, err)
				}
				exchanged := strings.Contains(strings.Join(c.taken, "\n"), "settle")
				b.checkCut(tt.old, tt.fresh, exchanged)
				if err != nil && !exchanged {
					if _, err := Restore(t.Context(), plan()); err != nil {
						t.Errorf("second try: %v", err)
					}
					b.checkCut(tt.old, tt.fresh, true)
				}
				if t.Failed() {
					t.Fatalf("with cut %d of %q", n, c.taken)
				}
				if err == nil {
					if n < 10 {
						t.Errorf("%d steps only", n)
					}
					return
				}
			}
		})
	}
}

// checkCut opens the box as the daemon would.
func (b *box) checkCut(old, fresh string, exchanged bool) {
	b.Helper()
	if _, err := os.Stat(b.live()); errors.Is(err, os.ErrNotExist) && old == "" && !exchanged {
		return // nothing there yet
	}
	b.open()
	want := old
	if exchanged {
		want = fresh
	}
	if got := b.people(); got != want {
		b.Errorf("there are %q, want %q", got, want)
	}
	if restored := b.events()[0].Action == "restore"; restored != exchanged {
		b.Errorf("the journal is that of the restored store: %v, want %v", restored, exchanged)
	}
	b.close()
	if !exchanged {
		return
	}
	if names, _ := filepath.Glob(b.live() + stageSuffix); len(names) > 0 {
		b.Errorf("left %v", names)
	}
	if _, err := os.Stat(filepath.Join(b.live(), markerName)); err == nil {
		b.Error("left the marker")
	}
	ring, err := seal.Opener(store.Sandbox, seal.MasterOptions{Dir: b.dir})()
	if err != nil {
		b.Fatal(err)
	}
	for _, tag := range ring.Forgotten() {
		if ring.Has(tag) {
			b.Error("a key of an erased person")
		}
	}
}

func prepareInPlace(t *testing.T) (*box, func() Plan) {
	b := newBox(t)
	path := b.backup()
	b.erase("ada")
	b.put("eve")
	b.close()
	return b, func() Plan { return b.plan(path) }
}

func prepareElsewhere(t *testing.T) (*box, func() Plan) {
	b := newBox(t)
	path := b.backup()
	b.close()
	c := b.elsewhere()
	return c, func() Plan {
		p := c.plan(path)
		p.AcceptUnknown = true
		return p
	}
}

func prepareCopy(t *testing.T) (*box, func() Plan) {
	b := newBox(t)
	b.hotCopy("a.db")
	b.erase("ada")
	b.put("eve")
	b.close()
	return b, func() Plan { return b.copyPlan("a.db") }
}

func prepareForeign(t *testing.T) (*box, func() Plan) {
	b, c := newBox(t), newBox(t)
	path := b.backup()
	b.close()
	c.erase("ada")
	c.erase("bob")
	c.put("eve")
	c.close()
	c.key = b.key
	return c, func() Plan {
		p := c.plan(path)
		p.AcceptUnknown = true
		return p
	}
}

// TestDamagedBackup flips bytes of a backup all over, and cuts it: it is refused,
// and the box stays as it is.
func TestDamagedBackup(t *testing.T) {
	b := newBox(t)
	path := b.backup()
	b.close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before := listing(t, b.dir)
	tryIt := func(raw []byte) error {
		f, err := Read(noClose{bytes.NewReader(raw)})
		if err == nil {
			err = f.Unlock(b.key, b.master())
		}
		if err == nil {
			_, err = Restore(t.Context(), Plan{Dir: b.dir, Environment: store.Sandbox, Master: b.master(), From: f, noSync: true})
		}
		return err
	}
	refused := func(what string, at int, raw []byte) {
		t.Helper()
		err := tryIt(raw)
		if !errors.Is(err, store.ErrDamaged) && !errors.Is(err, store.ErrForeign) && !errors.Is(err, store.ErrNewer) && !errors.Is(err, seal.ErrRecovery) {
			t.Errorf("%s %d: error %v", what, at, err)
		}
		if after := listing(t, b.dir); after != before {
			t.Fatalf("%s %d: left\n%s", what, at, after)
		}
	}
	for at := 0; at < len(whole); at += 1 + len(whole)/60 {
		damaged := bytes.Clone(whole)
		damaged[at] ^= 1 << (at % 8)
		refused("flipped byte", at, damaged)
		refused("cut at", at, whole[:at])
	}
	refused("longer by", 1, append(bytes.Clone(whole), 0))
	refused("twice", 2, append(bytes.Clone(whole), whole...))
	if err := tryIt(whole); err != nil {
		t.Errorf("whole: %v", err)
	}
}

type noClose struct{ *bytes.Reader }

func (noClose) Close() error { return nil }

// FuzzManifest: what is read is safe to act on.
func FuzzManifest(f *testing.F) {
	sum := strings.Repeat("00", 32)
	f.Add([]byte(`{"parts":[{"name":"keyring","size":1,"sha256":"` + sum + `"},{"name":"store.db","sha256":"` + sum + `"},{"name":"audit/a.period","sha256":"` + sum + `"}]}`))
	f.Add([]byte(`{"parts":[{"name":"audit/../../x.period","size":-1,"sha256":"` + sum + `"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := parseManifest(body)
		if err != nil {
			if !errors.Is(err, store.ErrDamaged) {
				t.Errorf("error %v", err)
			}
			return
		}
		for _, p := range m.Parts {
			path := filepath.Join("/stage", filepath.FromSlash(p.Name))
			if dir := filepath.Dir(path); p.Size < 0 || dir != "/stage" && dir != "/stage/audit" {
				t.Errorf("part %+v", p)
			}
		}
	})
}
