// Package faultfs is a file system for tests that loses and tears what is not
// synced, fails at any operation of one's choice, and has its power cut. It stands
// below the real thing: files in it are opened, mapped, locked and synced by
// ordinary calls.
//
//	func TestMain(m *testing.M) {
//		faultfs.Serve() // in the process that New starts
//		os.Exit(m.Run())
//	}
//
//	disk := faultfs.New(t)              // skips where FUSE cannot be mounted
//	disk.Plan(faultfs.Plan{Kind: faultfs.Cut, At: 17})
//	work(disk.Dir())                    // its 17th operation and all later ones fail
//	disk.Reboot(seed)                   // what was durable, and some of the rest
//	check(disk.Dir())
//
// Operations are what reaches a disk or its driver: open, create, mkdir, read,
// readdir, write, truncate, fsync of a file and of a folder, rename, link, unlink,
// rmdir. They are counted from the mounting on; looking names up is not one.
//
// # What is durable
//
// The data of a file at its last fsync, and the names in a folder at the folder's.
// Of what came after, a reboot finds nothing, all, or any part, as the seed has it:
// each write whole, in part by sectors of 512 bytes, or not, each change of a name
// or not. A sync that failed has lost some of what it was to make durable, and the
// next one does not bring it back.
//
// It is served by a process of its own: a program that reads a mapped page of its
// own file system waits for itself.
package faultfs

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// Kind is a sort of fault.
type Kind string

const (
	Error   Kind = "EIO"    // the operation fails with EIO, the next ones work
	NoSpace Kind = "ENOSPC" // the operation fails with ENOSPC, if it can
	Half    Kind = "half"   // half of a write is done, and it fails with EIO; others as Error
	Cut     Kind = "cut"    // the power goes: this operation and all later ones fail
	Tear    Kind = "tear"   // as Cut, in the midst of a write: some of its sectors are on the disk
)

// Kinds are all there are.
var Kinds = []Kind{Error, NoSpace, Half, Cut, Tear}

// Plan is a fault at one operation; At is its number, counted from 1. The zero Plan
// is none.
type Plan struct {
	Kind Kind `json:"kind"`
	At   int  `json:"at"`
}

// Status says what has happened since the file system was mounted.
type Status struct {
	Ops   int    `json:"ops"`
	Fired string `json:"fired"` // the operation at which the fault came; empty: it did not
	Err   string `json:"err,omitempty"`
}

// serveEnv says that a process is to serve.
const serveEnv = "FAULTFS_SERVE"

// FS is a file system as a test has it.
type FS struct {
	t     testing.TB
	base  string
	dir   string
	mount int
	in    io.WriteCloser
	out   *bufio.Scanner
}

// order is a line to the server; its answer is a Status.
type order struct {
	Do   string `json:"do"` // fresh, reboot, plan, status
	Dir  string `json:"dir,omitempty"`
	Seed uint64 `json:"seed,omitempty"`
	Plan Plan   `json:"plan"`
}

// New starts an empty file system, which ends with the test. Where FUSE cannot be
// mounted, the test is skipped.
func New(t testing.TB) *FS {
	t.Helper()
	if f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0); err != nil {
		t.Skipf("no FUSE here: %v", err)
	} else {
		f.Close()
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serveEnv+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	f := &FS{t: t, base: t.TempDir(), in: in, out: bufio.NewScanner(out)}
	t.Cleanup(func() {
		f.unmount()
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the process of the file system: %v", err)
		}
	})
	if s := f.mounted(order{Do: "fresh"}); s.Err != "" {
		t.Skipf("FUSE cannot be mounted: %s", s.Err)
	}
	return f
}

// Dir is the folder at which it is mounted now.
func (f *FS) Dir() string { return f.dir }

// Fresh mounts an empty file system in the place of this one.
func (f *FS) Fresh(seed uint64) {
	f.t.Helper()
	f.must(f.mounted(order{Do: "fresh", Seed: seed}))
}

// Reboot cuts the power, if that has not happened, and mounts what is found then.
func (f *FS) Reboot(seed uint64) {
	f.t.Helper()
	f.must(f.mounted(order{Do: "reboot", Seed: seed}))
}

// Plan plans the fault that comes; operations are counted from the mounting on.
func (f *FS) Plan(p Plan) {
	f.t.Helper()
	f.must(f.send(order{Do: "plan", Plan: p}))
}

// Status says what has happened since the mounting.
func (f *FS) Status() Status {
	f.t.Helper()
	return f.must(f.send(order{Do: "status"}))
}

func (f *FS) must(s Status) Status {
	f.t.Helper()
	if s.Err != "" {
		f.t.Fatalf("file system: %s", s.Err)
	}
	return s
}

// mounted sends an order that mounts at a new folder: somebody may still have a
// file of the old one.
func (f *FS) mounted(o order) Status {
	f.t.Helper()
	f.unmount()
	f.mount++
	f.dir = filepath.Join(f.base, fmt.Sprint(f.mount))
	if err := os.Mkdir(f.dir, 0o700); err != nil {
		f.t.Fatal(err)
	}
	o.Dir = f.dir
	return f.send(o)
}

func (f *FS) unmount() {
	if f.dir != "" {
		_ = syscall.Unmount(f.dir, syscall.MNT_DETACH) // it may not have come to it
		_ = os.Remove(f.dir)
	}
}

func (f *FS) send(o order) (s Status) {
	f.t.Helper()
	line, err := json.Marshal(o)
	if err == nil {
		_, err = f.in.Write(append(line, '\n'))
	}
	if err == nil && !f.out.Scan() {
		err = errors.Join(errors.New("it has ended"), f.out.Err())
	}
	if err == nil {
		err = json.Unmarshal(f.out.Bytes(), &s)
	}
	if err != nil {
		f.t.Fatalf("file system: %v", err)
	}
	return s
}

// Serve serves file systems and ends the process, if New has started it for that.
func Serve() {
	if os.Getenv(serveEnv) == "" {
		return
	}
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "faultfs:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serve(in io.Reader, out io.Writer) error {
	var d *disk
	answers := json.NewEncoder(out)
	for lines := bufio.NewScanner(in); lines.Scan(); {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return err
		}
		var err error
		switch o.Do {
		case "fresh":
			d = newDisk(o.Seed)
			err = mount(d, o.Dir)
		case "reboot":
			d = d.reboot(o.Seed)
			err = mount(d, o.Dir)
		case "plan":
			d.mu.Lock()
			d.plan, d.fired = o.Plan, ""
			d.mu.Unlock()
		}
		d.mu.Lock()
		s := Status{Ops: d.ops, Fired: d.fired}
		d.mu.Unlock()
		if err != nil {
			s.Err = err.Error()
		}
		if err := answers.Encode(s); err != nil {
			return err
		}
	}
	return nil
}

// mount has a disk served at a folder until that is unmounted.
func mount(d *disk, dir string) error {
	long := time.Hour // nobody else changes anything
	_, err := fs.Mount(dir, &node{d: d, e: d.root}, &fs.Options{
		MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "faultfs", Name: "faultfs", DisableXAttrs: true},
		EntryTimeout: &long, AttrTimeout: &long,
	})
	return err
}
