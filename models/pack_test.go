package models_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cypherface/edge/models"
)

// writePack makes a folder with a pack of small made-up networks: nothing in
// this package runs them.
func writePack(t testing.TB, root, name, salt string) string {
	t.Helper()
	like := "standard"
	if name == models.PAD {
		like = name
	}
	m, err := models.Definition(like)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	m.Name = name
	for _, r := range m.Roles() {
		body := bytes.Repeat([]byte(string(r)+salt), 1000)
		sum := sha256.Sum256(body)
		editNetwork(m, r, func(n *models.Network) { n.SHA256, n.Size = hex.EncodeToString(sum[:]), int64(len(body)) })
		write(t, filepath.Join(dir, m.Networks[r].File), body)
	}
	m.Space = m.DeriveSpace()
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "manifest.json"), b)
	return dir
}

func write(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func openPack(t testing.TB, dir string) *models.Pack {
	t.Helper()
	p, err := models.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestFileCannotChangeAfterItWasHashed(t *testing.T) {
	p := openPack(t, writePack(t, t.TempDir(), "mine", ""))
	path := filepath.Join(p.Dir, "embed.tflite")
	want, _ := os.ReadFile(path)
	f, err := p.File(models.Embed)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()

	write(t, path, bytes.Repeat([]byte{0}, len(want))) // in place: the same inode
	byName := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	if got, err := os.ReadFile(byName); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes, %v; want what was hashed", byName, len(got), err)
	}
	if _, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, syscall.EPERM) {
		t.Errorf("writing to the lent file: %v, want EPERM", err)
	}
	if err := f.Truncate(0); !errors.Is(err, syscall.EPERM) {
		t.Errorf("shrinking the lent file: %v, want EPERM", err)
	}
	if w, err := os.OpenFile(byName, os.O_RDWR, 0); err == nil {
		if _, err := w.WriteAt([]byte("x"), 0); err == nil {
			t.Error("the lent file was written through another descriptor")
		}
		w.Close()
	}
	if _, err := p.File(models.Embed); !errors.Is(err, models.ErrDamaged) {
		t.Errorf("opening the changed file: %v, want ErrDamaged", err)
	}
	if err := p.Verify(); !errors.Is(err, models.ErrDamaged) || !strings.Contains(err.Error(), "embed.tflite") {
		t.Errorf("verifying: %v, want ErrDamaged naming embed.tflite", err)
	}
}

func TestEveryFlippedBitIsFound(t *testing.T) {
	p := openPack(t, writePack(t, t.TempDir(), "mine", ""))
	path := filepath.Join(p.Dir, "landmarks.tflite")
	good, _ := os.ReadFile(path)
	for _, at := range []int{0, 1, len(good) / 2, len(good) - 1} {
		bad := bytes.Clone(good)
		bad[at] ^= 0x10
		write(t, path, bad)
		if f, err := p.File(models.Landmarks); !errors.Is(err, models.ErrDamaged) {
			f.Close()
			t.Errorf("byte %d: %v, want ErrDamaged", at, err)
		}
	}
	write(t, path, good)
	if err := p.Verify(); err != nil {
		t.Errorf("the mended pack: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "elsewhere")
	tests := []struct {
		name string
		harm func(dir string) error
		want string
	}{
		{"no manifest", func(dir string) error { return os.Remove(filepath.Join(dir, "manifest.json")) }, "no such file"},
		{"empty manifest", func(dir string) error { return os.Truncate(filepath.Join(dir, "manifest.json"), 0) }, "parse manifest"},
		{"endless manifest", func(dir string) error { return os.Truncate(filepath.Join(dir, "manifest.json"), 1<<30) }, "more than"},
		{"missing network", func(dir string) error { return os.Remove(filepath.Join(dir, "embed.tflite")) }, "no such file"},
		{"cut network", func(dir string) error { return os.Truncate(filepath.Join(dir, "embed.tflite"), 10) }, "10 bytes"},
		{"symbolic link", func(dir string) error {
			path := filepath.Join(dir, "embed.tflite")
			return errors.Join(os.Rename(path, outside), os.Symlink(outside, path))
		}, "symbolic link"},
		{"pipe", func(dir string) error {
			path := filepath.Join(dir, "embed.tflite")
			return errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o644))
		}, "not a regular file"},
		{"pipe as manifest", func(dir string) error {
			path := filepath.Join(dir, "manifest.json")
			return errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o644))
		}, "not a regular file"},
		{"folder", func(dir string) error {
			path := filepath.Join(dir, "embed.tflite")
			return errors.Join(os.Remove(path), os.Mkdir(path, 0o755))
		}, "not a regular file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := writePack(t, t.TempDir(), "mine", "")
			if err := tt.harm(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := models.Open(dir); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want something about %q", err, tt.want)
			}
		})
	}
}

func TestFileOfARoleThePackDoesNotHave(t *testing.T) {
	p := openPack(t, writePack(t, t.TempDir(), "mine", ""))
	if _, err := p.File("iris"); err == nil || !strings.Contains(err.Error(), "has no iris") {
		t.Errorf("got %v", err)
	}
}

func TestDefault(t *testing.T) {
	root := t.TempDir()
	if _, err := models.Default(root); !errors.Is(err, models.ErrNoPack) {
		t.Fatalf("empty root: %v, want ErrNoPack", err)
	}
	want := func(name string) {
		t.Helper()
		p, err := models.Default(root)
		if err != nil || p.Name != name {
			t.Fatalf("got %v, %v, want %s", p, err, name)
		}
	}
	writePack(t, root, "mine", "")
	want("mine")
	writePack(t, root, "basic", "")
	want("basic")
	writePack(t, root, "standard", "")
	want("standard")

	// One that should be used and is broken is not replaced in silence.
	os.Rename(filepath.Join(root, "standard", "embed.tflite"), filepath.Join(root, "aside"))
	if p, err := models.Default(root); err == nil || !strings.Contains(err.Error(), "standard") {
		t.Errorf("got %v, %v, want an error about standard", p, err)
	}
	if err := models.Use(root, "mine"); err != nil {
		t.Fatal(err)
	}
	want("mine")

	// Nor is a chosen one.
	os.Remove(filepath.Join(root, "mine", "embed.tflite"))
	if p, err := models.Default(root); err == nil || !strings.Contains(err.Error(), "models use") {
		t.Errorf("got %v, %v, want an error with a hint", p, err)
	}
	for _, name := range []string{"nobody", "../mine", "", "mine"} {
		if err := models.Use(root, name); err == nil {
			t.Errorf("Use(%q) was accepted", name)
		}
	}
	write(t, filepath.Join(root, "use"), []byte("../../etc"))
	if _, err := models.Default(root); err == nil || !strings.Contains(err.Error(), "no pack's name") {
		t.Errorf("a tampered choice: %v", err)
	}
}

func TestInstalledReportsBrokenPacksBesideGoodOnes(t *testing.T) {
	root := t.TempDir()
	writePack(t, root, "standard", "")
	os.Remove(filepath.Join(writePack(t, root, "basic", ""), "embed.tflite"))
	os.Mkdir(filepath.Join(root, ".new-half"), 0o755)
	write(t, filepath.Join(root, "note.txt"), []byte("hello"))
	packs, err := models.Installed(root)
	if len(packs) != 1 || packs[0].Name != "standard" {
		t.Errorf("got %d packs", len(packs))
	}
	if err == nil || !strings.Contains(err.Error(), "basic") {
		t.Errorf("got %v, want a word about basic", err)
	}
}

// The pack against presentation attacks stands beside the one in use: it is none of
// those that people are recognised with, and cannot be chosen.
func TestBeside(t *testing.T) {
	root := t.TempDir()
	if p, err := models.Beside(root); p != nil || err != nil {
		t.Errorf("none is installed: %v, %v", p, err)
	}
	dir := writePack(t, root, models.PAD, "")
	p, err := models.Beside(root)
	if err != nil || p.Name != models.PAD || p.Space != "" {
		t.Fatalf("%+v, %v", p, err)
	}
	if _, err := models.Default(root); !errors.Is(err, models.ErrNoPack) {
		t.Errorf("alone it is taken for a pack: %v", err)
	}
	writePack(t, root, "basic", "")
	if packs, err := models.Installed(root); len(packs) != 1 || packs[0].Name != "basic" || err != nil {
		t.Errorf("%d packs, %v", len(packs), err)
	}
	if err := models.Use(root, models.PAD); err == nil || !strings.Contains(err.Error(), "beside") {
		t.Errorf("chosen: %v", err)
	}
	os.Remove(filepath.Join(dir, "pad_wide.tflite"))
	if p, err := models.Beside(root); p != nil || err == nil {
		t.Errorf("half of it is there: %v, %v", p, err)
	}
	if packs, err := models.Installed(root); len(packs) != 1 || err != nil {
		t.Errorf("it is in the way of the others: %v", err)
	}
	os.RemoveAll(dir)
	os.Rename(filepath.Join(root, "basic"), dir)
	if _, err := models.Beside(root); err == nil || !strings.Contains(err.Error(), "basic") {
		t.Errorf("another pack in its place: %v", err)
	}
}

func TestRoot(t *testing.T) {
	env := func(v string) func(string) string { return func(string) string { return v } }
	if got := models.Root("/flag", env("/env")); got != "/flag" {
		t.Errorf("flag: %s", got)
	}
	if got := models.Root("", env("/env")); got != "/env" {
		t.Errorf("environment: %s", got)
	}
	if got := models.Root("", env("")); filepath.Base(got) != "packs" || !filepath.IsAbs(got) {
		t.Errorf("beside the program: %s", got)
	}
}

func TestGoldenImages(t *testing.T) {
	mates, stranger, err := models.GoldenImages()
	if err != nil {
		t.Fatal(err)
	}
	for i, img := range append(mates[:], stranger) {
		if b := img.Bounds(); b.Dx() < 200 || b.Dy() < 200 {
			t.Errorf("image %d is %v", i, b)
		}
	}
}

func TestProbeAnswer(t *testing.T) {
	n := models.Network{Input: models.Input{Shape: [4]int{1, 8, 8, 3}, Scale: 1 / 127.5, Bias: -1}}
	in := make([]float32, 8*8*3)
	n.ProbeInput(in)
	for _, v := range in {
		if v < -1 || v > 1 {
			t.Fatalf("input value %v outside of the prepared range", v)
		}
	}
	out := make([]float32, 100)
	for i := range out {
		out[i] = float32(i)
	}
	got := models.ProbeAnswer([][]float32{out, {7}})
	if len(got) != 17 || got[15] != 99 || got[16] != 7 {
		t.Fatalf("got %v", got)
	}
	n.Golden = append([]float64(nil), got...)
	for _, tt := range []struct {
		off  float64
		want bool
	}{{0, true}, {0.05, true}, {0.2, false}} {
		near := append([]float64(nil), got...)
		near[3] += tt.off
		if n.Answers(near) != tt.want {
			t.Errorf("off by %v of 99: %v, want %v", tt.off, !tt.want, tt.want)
		}
	}
	if n.Answers(got[:5]) {
		t.Error("an answer of another length was accepted")
	}
}
