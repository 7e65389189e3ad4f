package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
)

// clearLog makes a log that is not sealed, with a period of a few events.
func clearLog(t testing.TB) *Log {
	t.Helper()
	dir := t.TempDir()
	s, err := bolt.Open(bolt.Path(dir, store.Sandbox), bolt.Options{Environment: store.Sandbox, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	l, err := Open(t.Context(), Config{Store: s, Dir: Dir(dir, store.Sandbox)})
	if err == nil {
		err = s.Update(t.Context(), cause, func(tx *store.Tx) error {
			for range 3 {
				if _, err := store.Append(tx, store.Event{Kind: store.EventDoor, Person: "p"}, "personal"); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err == nil {
		err = l.Archive(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// FuzzPeriod: a file is read, or is damaged.
func FuzzPeriod(f *testing.F) {
	l := clearLog(f)
	id := store.NewPeriodID(1, 1)
	whole, err := os.ReadFile(filepath.Join(l.Dir, periodName(id)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	for _, at := range []int{len(periodMagic), len(periodMagic) + 1, len(whole) - trailerLen, len(whole) - trailerLen + 11, len(whole) - trailerLen - entryLen + 10} {
		changed := bytes.Clone(whole)
		changed[at] ^= 0x41
		f.Add(changed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, periodName(id)), b, 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := openPeriod(dir, id, store.Clear{})
		if err != nil {
			if !errors.Is(err, store.ErrDamaged) {
				t.Fatalf("error %v, want ErrDamaged", err)
			}
			return
		}
		defer p.close()
		for i := range p.index {
			if _, _, err := p.block(i); err != nil && !errors.Is(err, store.ErrDamaged) {
				t.Fatalf("error %v, want ErrDamaged", err)
			}
		}
	})
}

// FuzzVerify: whatever is held against a key is untrue, or has findings, unless it
// is what was signed.
func FuzzVerify(f *testing.F) {
	l := clearLog(f)
	var export bytes.Buffer
	if err := l.Export(f.Context(), &export, ExportOptions{Personal: true}); err != nil {
		f.Fatal(err)
	}
	proof, err := l.Prove(f.Context(), 0, 2)
	if err != nil {
		f.Fatal(err)
	}
	proven, err := json.Marshal(proof)
	if err != nil {
		f.Fatal(err)
	}
	signed := map[string]bool{}
	for line := range strings.Lines(export.String()) {
		var x exportEvent
		if json.Unmarshal([]byte(line), &x) == nil && x.Event != nil {
			signed[string(x.Event)] = true
		}
	}
	f.Add(export.Bytes())
	f.Add(proven)
	f.Add([]byte(proof.Checkpoint))
	f.Add([]byte("a/1\n2\nAAAA\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := ParseCheckpoint(string(b), l.Key()); err == nil && c.Root != l.rootOf(t, c.Size) {
			t.Fatalf("a checkpoint that was never signed: %+v", c)
		}
		_, _ = ParseCheckpoint(string(b), "")
		var p Proof
		if _, _, err := VerifyProof(b, l.Key()); err == nil && json.Unmarshal(b, &p) == nil && !signed[string(compact(p.Event))] {
			t.Fatalf("an event that was never signed is proven: %s", p.Event)
		}
		r, err := VerifyExport(bytes.NewReader(b), l.Key())
		if err != nil || len(r.Findings) > 0 {
			return
		}
		for line := range strings.Lines(string(b)) {
			var x exportEvent
			if json.Unmarshal([]byte(line), &x) == nil && x.Event != nil && !signed[string(compact(x.Event))] {
				t.Fatalf("an event that was never signed is found good: %s", x.Event)
			}
		}
	})
}

// rootOf returns the root of the signed log with size events.
func (l *Log) rootOf(t *testing.T, size uint64) store.Hash {
	cs, _, err := l.checkpoints(1)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cs {
		if c.Size == size {
			return c.Root
		}
	}
	return store.Hash{}
}
