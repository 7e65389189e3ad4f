package bolt_test

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
)

// resident is how many KiB of a mapped file this process holds.
func resident(t *testing.T, path string) (kib int) {
	t.Helper()
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Skip("needs /proc/self/smaps")
	}
	defer f.Close()
	ours := false
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		if at, _, _ := strings.Cut(line, " "); strings.Contains(at, "-") {
			ours = strings.HasSuffix(line, path)
		}
		var n int
		if _, err := fmt.Sscanf(line, "Rss: %d kB", &n); err == nil && ours {
			kib += n
		}
	}
	return kib
}

func TestRelaxGivesPagesBack(t *testing.T) {
	path := bolt.Path(t.TempDir(), store.Sandbox)
	s, err := bolt.Open(path, bolt.Options{Environment: store.Sandbox, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	m := store.NewID[store.MerchantID](time.Now())
	for range 20 {
		img := store.Image{ID: store.ImageID(store.NewUUID[store.KeyID]()), Merchant: m, Purpose: store.PurposeSource, Data: make([]byte, 100_000)}
		err := s.Update(t.Context(), store.Cause{Actor: store.Actor{Kind: store.ActorCLI}}, func(tx *store.Tx) error { return store.Put(tx, &img) })
		if err != nil {
			t.Fatal(err)
		}
	}
	read := func() (n int) {
		err := s.View(t.Context(), func(tx *store.Tx) error {
			for img, err := range store.All(tx, store.ImagesByPerson) {
				if err != nil {
					return err
				}
				n += len(img.Data)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	want := read()
	before := resident(t, path)
	if err := s.Relax(); err != nil {
		t.Fatal(err)
	}
	if after := resident(t, path); before < 1000 || after > before/4 {
		t.Errorf("%d KiB are held after %d", after, before)
	}
	if got := read(); got != want || want == 0 {
		t.Errorf("read %d bytes, before it was %d", got, want)
	}
	s.Close()
	if err := s.Relax(); err == nil {
		t.Error("relaxed a closed store")
	}
}
