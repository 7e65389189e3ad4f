package seal

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/cypherface/edge/store"
)

// TestRootLeavesTheOwner: who administers a box as root takes nothing from the user
// that it runs as.
func TestRootLeavesTheOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	const owner = 54321
	dir := t.TempDir()
	r := openRing(t, dir)
	mustSeal(t, r, ofAda, "ada")
	mustSync(t, r)
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err == nil {
			err = os.Chown(path, owner, owner)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	local := func() *Master { return must(t)(FindMaster(MasterOptions{Dir: dir})) }
	if err := Rotate(dir, local(), must(t)(NextLocal(dir))); err != nil {
		t.Fatal(err)
	}
	if err := SetRecovery(dir, local(), NewRecoveryKey()); err != nil {
		t.Fatal(err)
	}
	if err := openRing(t, dir).Forget(ofAda.Person.Tag()); err != nil {
		t.Fatal(err)
	}
	os.Remove(ErasuresPath(dir, store.Sandbox)) // and made anew
	openRing(t, dir)
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := d.Info()
		if err == nil && st.Sys().(*syscall.Stat_t).Uid != owner {
			t.Errorf("%s belongs to root", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
