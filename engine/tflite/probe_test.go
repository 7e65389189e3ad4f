package tflite

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

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

func TestProbeX(t *testing.T) {
	for k := 0; k < 12; k++ {
		for _, v := range []int32{-1, 3, 1 << 20, -1000} {
			p := copyPack(t, models.DetectShort, func(b []byte) []byte { return wrongTensor(b, k, v) })
			t.Log(k, v, Probe(t.Context(), "", p.Dir))
		}
	}
	_ = errors.New
	_ = strings.Contains
}
