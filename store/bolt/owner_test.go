package bolt_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
)

// TestRootLeavesFilesToTheBox: what root makes of a store, as by compacting it,
// belongs to whom its folder belongs to.
func TestRootLeavesFilesToTheBox(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("takes root")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "store.db")
	const box = 4711
	if err := os.Chown(dir, box, box); err != nil {
		t.Fatal(err)
	}
	s, err := bolt.Open(path, bolt.Options{Environment: store.Sandbox, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	check := func(path string) {
		t.Helper()
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if owner := st.Sys().(*syscall.Stat_t); owner.Uid != box || owner.Gid != box || st.Mode().Perm() != 0o600 {
			t.Errorf("%s belongs to %d:%d with mode %v", filepath.Base(path), owner.Uid, owner.Gid, st.Mode())
		}
	}
	check(path)
	if err := s.Compact(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	check(path)
	if err := s.Copy(t.Context(), filepath.Join(dir, "copy")); err != nil {
		t.Fatal(err)
	}
	check(filepath.Join(dir, "copy"))
}
