package seal_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
	"github.com/cypherface/edge/store/seal"
)

var updateFlag = flag.Bool("seal.update", false, "write the golden data folder of the present formats")

// Golden stores, each written by a program of its time:
//
//	../bolt/testdata/schema1.db.gz   schema 1, which could not be sealed
//	testdata/schema2                 schema 2, sealed, values and keyring of version 1
//	testdata/schema3                 schema 3, whose journal has a tree
//	testdata/schema4                 schema 4, the same with more kinds of records
const (
	goldenClear   = "../bolt/testdata/schema1.db.gz"
	goldenPresent = "testdata/schema4"
)

// goldenRoot is the root of the tree of the golden journal.
const goldenRoot = "HuaIF69Tc/dDhqVHTKqI7N+8j6NSRNqiDwJIQIU2Asc="

const goldenPerson = store.PersonID("000000000000000000000001")

// TestGolden opens what earlier programs wrote. Who changes a format adds a golden
// store and leaves these as they are.
func TestGolden(t *testing.T) {
	t.Run("schema 1, left in the clear", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "store.db")
		gunzip(t, goldenClear, path)
		for range 2 {
			checkGolden(t, path, bolt.Options{Environment: store.Sandbox, NoSync: true})
		}
	})
	t.Run("schema 1, sealed", func(t *testing.T) {
		dir := t.TempDir()
		unpack(t, dir, goldenClear)
		for range 2 {
			checkGolden(t, bolt.Path(dir, store.Sandbox), goldenOptions(dir))
		}
	})
	if *updateFlag {
		writeGolden(t)
	}
	for _, golden := range []string{"testdata/schema2", "testdata/schema3", goldenPresent} {
		t.Run(filepath.Base(golden), func(t *testing.T) {
			dir := t.TempDir()
			unpack(t, dir, filepath.Join(golden, "store.db.gz"))
			copyFile(t, filepath.Join(golden, "keyring"), seal.Path(dir, store.Sandbox))
			copyFile(t, filepath.Join(golden, "master.key"), filepath.Join(dir, "master.key"))
			checkGolden(t, bolt.Path(dir, store.Sandbox), goldenOptions(dir))
		})
	}
}

func goldenOptions(dir string) bolt.Options {
	return bolt.Options{Environment: store.Sandbox, NoSync: true, Keyring: seal.Opener(store.Sandbox, seal.MasterOptions{Dir: dir})}
}

// unpack lays a packed store into a data folder.
func unpack(t *testing.T, dir, packed string) {
	t.Helper()
	path := bolt.Path(dir, store.Sandbox)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	gunzip(t, packed, path)
}

func gunzip(t *testing.T, from, to string) {
	t.Helper()
	f, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// writeGolden seals the golden store of schema 1 and keeps the result.
func writeGolden(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	unpack(t, dir, goldenClear)
	checkGolden(t, bolt.Path(dir, store.Sandbox), goldenOptions(dir))
	raw, err := os.ReadFile(bolt.Path(dir, store.Sandbox))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // a level there is
	_, err = z.Write(raw)
	err = errors.Join(err, z.Close(), os.MkdirAll(goldenPresent, 0o755),
		os.WriteFile(filepath.Join(goldenPresent, "store.db.gz"), b.Bytes(), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	copyFile(t, seal.Path(dir, store.Sandbox), filepath.Join(goldenPresent, "keyring"))
	copyFile(t, filepath.Join(dir, "master.key"), filepath.Join(goldenPresent, "master.key"))
}

// checkGolden reads back what was put into the golden stores.
func checkGolden(t *testing.T, path string, opt bolt.Options) {
	t.Helper()
	s, err := bolt.Open(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if info := s.Info(); info.Schema != 4 || info.Epoch != 1 || info.Environment != store.Sandbox {
		t.Errorf("info %+v", info)
	}
	at := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	err = s.View(t.Context(), func(tx *store.Tx) error {
		p, err := store.Find(tx, store.PersonByEmail, store.Plain("m"), store.Email("ada@example.org"))
		if err != nil || p.ID != goldenPerson || p.Lastname != "Lovelace" || p.Rev != 1 || !p.Created.Equal(at) {
			t.Errorf("person %+v, %v", p, err)
		}
		if p, err := store.Find(tx, store.PersonByExternalID, store.Plain("m"), store.Hidden("hr-1")); err != nil || p.ID != goldenPerson {
			t.Errorf("by external id: %v", err)
		}
		if a, err := store.Find(tx, store.AccountByEmail, store.Email("owner@example.org")); err != nil || a.Role != store.RoleOwner {
			t.Errorf("account %+v, %v", a, err)
		}
		if k, err := store.Find(tx, store.KeyByHash, store.Plain("hash")); err != nil || k.Last4 != "abcd" {
			t.Errorf("key %+v, %v", k, err)
		}
		if s, err := store.Get[store.Secret](tx, store.SecretName("s")); err != nil || string(s.Value) != "secret" {
			t.Errorf("secret %+v, %v", s, err)
		}
		if c, err := store.Get[store.Crop](tx, store.CropID("c")); err != nil || string(c.Image) != "crop" || c.Landmarks[0].Y != 112 {
			t.Errorf("crop %+v, %v", c, err)
		}
		if v, err := store.Get[store.Template](tx, store.NewTemplateID(goldenPerson, "x")); err != nil || len(v.Vector) != 2 || v.Vector[1] != .8 {
			t.Errorf("template %+v, %v", v, err)
		}
		if tree, err := store.JournalTree(tx); err != nil || tree.Size() != 9 || tree.Root().String() != goldenRoot {
			t.Errorf("tree of %d events with root %v, %v", tree.Size(), tree.Root(), err)
		}
		acked, err := store.Acked(tx, "central")
		if acked != 3 || err != nil {
			t.Errorf("acknowledged %d, %v", acked, err)
		}
		events, err := store.Events(tx, 0, 100)
		if err != nil || len(events) != 9 {
			t.Fatalf("%d events, %v, want 9", len(events), err)
		}
		var personal map[string]string
		if err := store.Personal(tx, &events[0], &personal); err != nil || personal["name"] != "Ada" {
			t.Errorf("personal part %v, %v", personal, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
