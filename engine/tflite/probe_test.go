//go:build cgo

package tflite

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cypherface/edge/models"
	flatbuffers "github.com/google/flatbuffers/go"
)

// TestMain lets this test's program be its own trial process.
func TestMain(m *testing.M) {
	if code, asked := ProbeMain(context.Background(), os.Args[1:], os.Stdout, os.Stderr); asked {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

const packs = "../../.deps/packs"

// copyPack copies the basic pack under another name, so that it is one this
// program does not know, and lets harm change a network; the manifest's hash
// follows, as that of a pack which was damaged before it was packed.
func copyPack(t *testing.T, role models.Role, harm func([]byte) []byte) *models.Pack {
	t.Helper()
	from, err := models.Open(filepath.Join(packs, "basic"))
	if err != nil {
		t.Fatalf("%v (run make setup)", err)
	}
	dir := filepath.Join(t.TempDir(), "mine")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	m := from.Manifest
	m.Name = "mine"
	m.Space = m.DeriveSpace()
	networks := map[models.Role]models.Network{}
	for r, n := range m.Networks {
		b, err := os.ReadFile(filepath.Join(from.Dir, n.File))
		if err != nil {
			t.Fatal(err)
		}
		if r == role {
			b = harm(b)
		}
		sum := sha256.Sum256(b)
		n.SHA256, n.Size = hex.EncodeToString(sum[:]), int64(len(b))
		networks[r] = n
		if err := os.WriteFile(filepath.Join(dir, n.File), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m.Networks = networks
	writeManifest(t, dir, &m)
	p, err := models.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func writeManifest(t *testing.T, dir string, m *models.Manifest) {
	t.Helper()
	b, err := m.Encode()
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "manifest.json"), b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// wrongTensor makes the first input of operator k of a network the tensor
// index value, by walking the flatbuffer: Model.subgraphs (field 2), SubGraph.
// operators (3), Operator.inputs (1).
func wrongTensor(b []byte, k int, value int32) []byte {
	b = bytes.Clone(b)
	field := func(t flatbuffers.Table, n int) flatbuffers.UOffsetT {
		return t.Pos + flatbuffers.UOffsetT(t.Offset(flatbuffers.VOffsetT(4+2*n)))
	}
	element := func(t flatbuffers.Table, n, i int) flatbuffers.Table {
		at := t.Vector(field(t, n)-t.Pos) + flatbuffers.UOffsetT(4*i)
		return flatbuffers.Table{Bytes: b, Pos: t.Indirect(at)}
	}
	model := flatbuffers.Table{Bytes: b, Pos: flatbuffers.GetUOffsetT(b)}
	op := element(element(model, 2, 0), 3, k)
	flatbuffers.WriteInt32(b[op.Vector(field(op, 1)-op.Pos):], value)
	return b
}

// zeroPage clears 4 KiB of weights in the middle of a network.
func zeroPage(b []byte) []byte {
	b = bytes.Clone(b)
	clear(b[len(b)/2 : len(b)/2+4096])
	return b
}

func needsTrials(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: child processes are left out (an emulator could not start them)")
	}
}

// What TensorFlow Lite does with damaged networks: it crashes, it refuses, or
// it runs on with wrong answers. Hashes that fit do not help against any.
func TestProbeRefusesDamagedNetworks(t *testing.T) {
	needsTrials(t)
	wrong := func(op int, tensor int32) func([]byte) []byte {
		return func(b []byte) []byte { return wrongTensor(b, op, tensor) }
	}
	tests := []struct {
		name string
		role models.Role
		harm func([]byte) []byte
		want string
	}{
		{"no tensor where one must be", models.DetectShort, wrong(0, -1), "killed by SIGSEGV while loading detect_short.tflite"},
		{"another tensor", models.DetectShort, wrong(9, 3), "killed by SIGSEGV while running detect_short.tflite"},
		{"a tensor far out", models.DetectShort, wrong(0, 1<<20), "detect_short.tflite: create interpreter"},
		{"a tensor of the same shape", models.DetectShort, wrong(6, 3), "detect_short.tflite: the golden answers differ"},
		{"cleared weights", models.Embed, zeroPage, "embed.tflite: the golden answers differ"},
		{"a cut file", models.DetectFull, func(b []byte) []byte { return b[:len(b)/2] }, "detect_full.tflite: not a TensorFlow Lite model"},
		{"no network at all", models.DetectFull, func([]byte) []byte { return []byte("<html>404</html>") }, "detect_full.tflite: not a TensorFlow Lite model"},
		{"a network for another job", models.DetectFull, func([]byte) []byte { return readNetwork(t, models.DetectShort) }, "its input is [1 128 128 3], the manifest says [1 192 192 3]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := copyPack(t, tt.role, tt.harm)
			err := ProbeOnce(t.Context(), "", p)
			if !errors.Is(err, ErrProbe) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if Probed(p) {
				t.Error("the refused pack counts as tried")
			}
		})
	}
}

func readNetwork(t *testing.T, r models.Role) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(packs, "basic", string(r)+".tflite"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestProbeOnce(t *testing.T) {
	needsTrials(t)
	p := copyPack(t, "", nil)
	if Probed(p) {
		t.Fatal("a pack nobody tried counts as tried")
	}
	if err := ProbeOnce(t.Context(), "", p); err != nil {
		t.Fatal(err)
	}
	if !Probed(p) {
		t.Error("the trial was not remembered")
	}
	// Remembered: a program that could not try it is not even started.
	if err := ProbeOnce(t.Context(), "/nonexistent", p); err != nil {
		t.Errorf("second time: %v", err)
	}
	// Another manifest is another pack.
	p.Summary += " (changed)"
	writeManifest(t, p.Dir, &p.Manifest)
	changed, err := models.Open(p.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if Probed(changed) {
		t.Error("a changed pack counts as tried")
	}
	if err := ProbeOnce(t.Context(), "/nonexistent", changed); err == nil || errors.Is(err, ErrProbe) {
		t.Errorf("a program that does not start says nothing about the pack: %v", err)
	}
}

func TestBuiltinPacksNeedNoTrial(t *testing.T) {
	p, err := models.Open(filepath.Join(packs, "basic"))
	if err != nil {
		t.Fatalf("%v (run make setup)", err)
	}
	if err := ProbeOnce(t.Context(), "/nonexistent", p); err != nil {
		t.Error(err)
	}
}

// Trial programs that end in other ways than ours.
func TestProbeReportsHowTheTrialEnded(t *testing.T) {
	needsTrials(t)
	tests := []struct{ name, script, want string }{
		{"signal", "echo loading x.tflite; kill -BUS $$", "killed by SIGBUS while loading x.tflite"},
		{"words", "echo loading x.tflite; echo INFO >&2; echo disk on fire >&2; exit 1", "disk on fire"},
		{"silence", "exit 3", "exit status 3 while starting"},
		{"noise", "yes | head -c 1000000; yes | head -c 1000000 >&2; kill -SEGV $$", "killed by SIGSEGV"},
		{"for ever", "echo running x.tflite; exec sleep 60", "deadline exceeded while running x.tflite"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			exe := filepath.Join(t.TempDir(), "trial")
			if err := os.WriteFile(exe, []byte("#!/bin/sh\n"+tt.script+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			ctx := t.Context()
			if tt.name == "for ever" {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, time.Second)
				defer cancel()
			}
			err := Probe(ctx, exe, "/packs/mine")
			if !errors.Is(err, ErrProbe) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestProbeMainLeavesOtherCommandsAlone(t *testing.T) {
	for _, args := range [][]string{nil, {"serve"}, {ProbeWord}, {ProbeWord, "a", "b"}} {
		if _, asked := ProbeMain(t.Context(), args, io.Discard, io.Discard); asked {
			t.Errorf("%v was taken for a trial", args)
		}
	}
}

func TestSelfTest(t *testing.T) {
	installed, err := models.Installed(packs)
	if err != nil || len(installed) == 0 {
		t.Fatalf("%d packs, %v (run make setup)", len(installed), err)
	}
	for _, p := range installed {
		t.Run(p.Name, func(t *testing.T) {
			e, open, err := OpenEngine(p, Options{Interpreters: 1})
			if err != nil {
				t.Fatal(err)
			}
			defer open.Close()
			if err := SelfTest(t.Context(), e, p); err != nil {
				t.Error(err)
			}
			for name, harm := range map[string]func(*models.Golden){
				"mates":     func(g *models.Golden) { g.Mates -= 2 * g.Tolerance },
				"strangers": func(g *models.Golden) { g.Strangers += 2 * g.Tolerance },
				"template":  func(g *models.Golden) { g.SetVector(make([]float32, len(g.Vector()))) },
			} {
				other := *p
				harm(&other.Golden)
				if err := SelfTest(t.Context(), e, &other); !errors.Is(err, errGolden) {
					t.Errorf("%s differ: %v", name, err)
				}
			}
		})
	}
}
