package faultfs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

func TestMain(m *testing.M) {
	Serve()
	os.Exit(m.Run())
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func create(t *testing.T, path, content string) *os.File {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	_, err = f.WriteString(content)
	must(t, err)
	return f
}

func syncDir(t *testing.T, dir string) {
	t.Helper()
	d, err := os.Open(dir)
	must(t, err)
	must(t, d.Sync(), d.Close())
}

// TestDurable: after a cut there is what was synced; the rest by the seed.
func TestDurable(t *testing.T) {
	for seed, want := range map[uint64]struct{ content, names string }{
		0: {"kept", "a"}, 1: {"kept and more", "b c"},
	} {
		f := New(t)
		a := filepath.Join(f.Dir(), "a")
		file := create(t, a, "kept")
		must(t, file.Sync())
		syncDir(t, f.Dir())
		_, err := file.WriteString(" and more")
		must(t, err, os.Rename(a, filepath.Join(f.Dir(), "b")))
		create(t, filepath.Join(f.Dir(), "c"), "unsynced")
		file.Close()
		f.Reboot(seed)
		files, err := os.ReadDir(f.Dir())
		must(t, err)
		names := ""
		for _, d := range files {
			names += " " + d.Name()
		}
		if names != " "+want.names {
			t.Errorf("seed %d: found%s, want %s", seed, names, want.names)
		}
		content, err := os.ReadFile(filepath.Join(f.Dir(), files[0].Name()))
		if err != nil || string(content) != want.content {
			t.Errorf("seed %d: %q, %v, want %q", seed, content, err, want.content)
		}
	}
}

// TestFaults: each kind does what it says, at the operation it was planned for.
func TestFaults(t *testing.T) {
	data := bytes.Repeat([]byte("x"), 4096)
	for kind, want := range map[Kind]struct {
		err   error
		size  int // of the file after it
		after error
	}{
		Error: {syscall.EIO, 0, nil}, NoSpace: {syscall.ENOSPC, 0, nil}, Half: {syscall.EIO, 2048, nil},
		Cut: {syscall.EIO, 0, syscall.EIO}, Tear: {syscall.EIO, -1, syscall.EIO},
	} {
		f := New(t)
		path := filepath.Join(f.Dir(), "a")
		file := create(t, path, "")
		must(t, file.Sync())
		syncDir(t, f.Dir())
		n := f.Status().Ops
		f.Plan(Plan{kind, n + 2})
		_, first := file.WriteAt([]byte("y"), 8000)
		_, err := file.WriteAt(data, 0)
		_, after := file.WriteAt([]byte("z"), 8000)
		if first != nil || !errors.Is(err, want.err) || !errors.Is(after, want.after) {
			t.Errorf("%s: %v, %v, then %v", kind, first, err, after)
		}
		if s := f.Status(); s.Fired != fmt.Sprintf("write at operation %d", n+2) {
			t.Errorf("%s: %+v", kind, s)
		}
		file.Close()
		f.Reboot(1)
		got, err := os.ReadFile(filepath.Join(f.Dir(), "a"))
		if x := bytes.Count(got, []byte("x")); err != nil || want.size >= 0 && x != want.size || x == 4096 {
			t.Errorf("%s: %d of %d bytes are there, %v", kind, x, len(data), err)
		}
	}
}

// TestFailedSync: what a sync has lost is lost, though it is read until then.
func TestFailedSync(t *testing.T) {
	f := New(t)
	file := create(t, filepath.Join(f.Dir(), "a"), "")
	must(t, file.Sync())
	syncDir(t, f.Dir())
	data := bytes.Repeat([]byte("x"), 1<<16)
	for part := range slices.Chunk(data, 4096) {
		_, err := file.Write(part)
		must(t, err)
	}
	f.Plan(Plan{Error, f.Status().Ops + 1})
	if err := file.Sync(); !errors.Is(err, syscall.EIO) {
		t.Errorf("sync: %v", err)
	}
	must(t, file.Sync())
	file.Close()
	f.Reboot(1)
	got, err := os.ReadFile(filepath.Join(f.Dir(), "a"))
	if err != nil || bytes.Equal(got, data) {
		t.Errorf("all is there, %v", err)
	}
}

// TestMapped: what is written can be read by a map, and files can be locked.
func TestMapped(t *testing.T) {
	f := New(t)
	file := create(t, filepath.Join(f.Dir(), "a"), "first")
	must(t, file.Truncate(8192), syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB))
	m, err := syscall.Mmap(int(file.Fd()), 0, 8192, syscall.PROT_READ, syscall.MAP_SHARED)
	must(t, err)
	defer syscall.Munmap(m)
	if string(m[:5]) != "first" {
		t.Errorf("%q", m[:5])
	}
	_, err = file.WriteAt([]byte("later"), 4096)
	must(t, err)
	if string(m[4096:4101]) != "later" {
		t.Errorf("%q", m[4096:4101])
	}
	second, err := os.Open(file.Name())
	must(t, err)
	defer second.Close()
	if err := syscall.Flock(int(second.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); !errors.Is(err, syscall.EWOULDBLOCK) {
		t.Errorf("locked twice: %v", err)
	}
}
