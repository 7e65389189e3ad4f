package bolt_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/bolt"
)

// smallDisk mounts an ext4 file system of 64 MiB and returns where. Where that is
// not allowed the test is skipped.
func smallDisk(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounting a small file system takes root")
	}
	image, dir := filepath.Join(t.TempDir(), "disk"), t.TempDir()
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 64<<20); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{
		{"mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", image}, {"mount", "-o", "loop", image, dir},
	} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Skipf("a small file system is not to be had here: %s: %v %s", command[0], err, bytes.TrimSpace(out))
		}
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// ballast writes a file until so much is left free.
func ballast(t *testing.T, path string, left int64) {
	t.Helper()
	var fs syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(path), &fs); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(make([]byte, max(0, int64(fs.Bavail)*fs.Bsize-left)))
	if err := errors.Join(err, f.Close()); err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

// TestDiskFull fills a real file system under a store: essential changes go on
// from the reserve until that is spent too, nothing that was acknowledged is lost,
// and everything goes on when there is room.
func TestDiskFull(t *testing.T) {
	dir := smallDisk(t)
	path, weight := bolt.Path(dir, store.Sandbox), filepath.Join(dir, "weight")
	opt := bolt.Options{Environment: store.Sandbox, Reserve: 16 << 20}
	s, err := bolt.Open(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Close() }()
	acknowledged := 0
	put := func(essential bool) error {
		err := s.Update(t.Context(), store.Cause{Actor: cause.Actor, Essential: essential}, func(tx *store.Tx) error {
			p := store.Image{ID: store.ImageID(fmt.Sprint(acknowledged)), Merchant: "m", Data: make([]byte, 256<<10)}
			return store.Put(tx, &p)
		})
		if err == nil {
			acknowledged++
		}
		return err
	}
	if err := put(false); err != nil || s.Full() {
		t.Fatalf("with room: full %v, %v", s.Full(), err)
	}
	// A tool that keeps no reserve leaves the box's alone.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = bolt.Open(path, bolt.Options{Environment: store.Sandbox}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path + ".reserve"); err != nil || st.Size() != 16<<20 {
		t.Errorf("the reserve after a tool: %v", err)
	}
	if s, err = bolt.Open(path, opt); err != nil {
		t.Fatal(err)
	}
	ballast(t, weight, 1<<20)
	if err := put(false); !errors.Is(err, store.ErrFull) || !s.Full() {
		t.Errorf("on a full disk: full %v, error %v, want ErrFull", s.Full(), err)
	}
	for n := 0; ; n++ {
		if err = put(true); err != nil {
			break
		}
		if n > 1000 {
			t.Fatal("the disk does not fill")
		}
	}
	if !errors.Is(err, store.ErrFull) || acknowledged < 20 {
		t.Errorf("the reserve lasted for %d changes, then %v, want ErrFull", acknowledged-1, err)
	}
	check := func() {
		t.Helper()
		err := s.View(t.Context(), func(tx *store.Tx) error {
			for i := range acknowledged {
				if p, err := store.Get[store.Image](tx, store.ImageID(fmt.Sprint(i))); err != nil || len(p.Data) != 256<<10 {
					return fmt.Errorf("change %d of %d: %d bytes, %w", i, acknowledged, len(p.Data), err)
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	check()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = bolt.Open(path, opt); err != nil {
		t.Fatalf("open on a full disk: %v", err)
	}
	check()
	if !s.Full() {
		t.Error("opened on a full disk: it is said to have room")
	}
	if err := os.Remove(weight); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := put(false); err != nil || s.Full() {
			t.Errorf("with room again: full %v, %v", s.Full(), err)
		}
	}
	check()
}
