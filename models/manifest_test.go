package models_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cypherface/edge/models"
)

// definition reads a committed manifest.
func definition(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("packs", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// editable is a committed manifest to change.
func editable(t testing.TB, name string) (m map[string]any) {
	t.Helper()
	if err := json.Unmarshal(definition(t, name), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// editManifest returns a committed manifest with a change.
func editManifest(t testing.TB, name string, edit func(m map[string]any)) []byte {
	t.Helper()
	m := editable(t, name)
	edit(m)
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func rawJSON(t testing.TB, s string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// at walks to a nested object.
func at(m map[string]any, keys ...string) map[string]any {
	for _, k := range keys {
		m = m[k].(map[string]any)
	}
	return m
}

func TestBuiltinManifests(t *testing.T) {
	all, err := models.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 3 || all[0].Name != "standard" || all[1].Name != "basic" || all[2].Name != models.PAD {
		t.Fatalf("got %d packs, want standard, basic and pad", len(all))
	}
	if all[0].Space == all[1].Space {
		t.Errorf("both packs claim space %s", all[0].Space)
	}
	for _, m := range all {
		b, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b, definition(t, m.Name)) {
			t.Errorf("packs/%s.json is not as Encode writes it; cypherface models pin rewrites it", m.Name)
		}
		for _, r := range m.Roles() {
			if n := m.Networks[r]; n.Licence == "" || n.Origin == "" {
				t.Errorf("%s: %s states no licence or origin", m.Name, r)
			}
		}
	}
	published := 0
	for _, s := range all[0].Networks[models.Embed].Sources {
		if s.SHA384 != "" {
			published++
		}
	}
	if published != 1 {
		t.Errorf("%d sources with a published hash, want the embedder's weights", published)
	}
}

func TestSpaceDependsOnWhatTemplatesDependOn(t *testing.T) {
	base, err := models.Definition("standard")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		edit    func(m *models.Manifest)
		another bool
	}{
		{"another conversion of the same weights", func(m *models.Manifest) {
			editNetwork(m, models.Embed, func(n *models.Network) { n.SHA256 = strings.Repeat("0", 64) })
		}, false},
		{"another calibration", func(m *models.Manifest) { m.Calibration = models.Calibration{} }, false},
		{"another detector", func(m *models.Manifest) {
			editNetwork(m, models.DetectShort, func(n *models.Network) { n.Sources[0].SHA256 = strings.Repeat("0", 64) })
		}, false},
		{"other weights", func(m *models.Manifest) {
			editNetwork(m, models.Embed, func(n *models.Network) { n.Sources[1].SHA256 = strings.Repeat("0", 64) })
		}, true},
		{"other landmarks", func(m *models.Manifest) {
			editNetwork(m, models.Landmarks, func(n *models.Network) { n.Sources[0].SHA256 = strings.Repeat("0", 64) })
		}, true},
		{"another alignment", func(m *models.Manifest) { m.Networks[models.Embed].Template[2][1] += 0.01 }, true},
		{"another channel order", func(m *models.Manifest) {
			editNetwork(m, models.Embed, func(n *models.Network) { n.Input.Order = "rgb" })
		}, true},
		{"another pre-processing", func(m *models.Manifest) { m.Preprocessing++ }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := models.Definition("standard")
			if err != nil {
				t.Fatal(err)
			}
			tt.edit(m)
			if got := m.DeriveSpace() != base.Space; got != tt.another {
				t.Errorf("another space: %v, want %v", got, tt.another)
			}
		})
	}
}

func editNetwork(m *models.Manifest, r models.Role, edit func(*models.Network)) {
	n := m.Networks[r]
	edit(&n)
	m.Networks[r] = n
}

func TestParseManifestRefuses(t *testing.T) {
	set := func(value any, keys ...string) func(map[string]any) {
		return func(m map[string]any) { at(m, keys[:len(keys)-1]...)[keys[len(keys)-1]] = value }
	}
	source := func(key string, value any) func(map[string]any) {
		return func(m map[string]any) {
			at(m, "networks", "embed")["sources"].([]any)[0].(map[string]any)[key] = value
		}
	}
	tests := []struct {
		name string
		edit func(map[string]any)
		want string
	}{
		{"unknown key", set(1, "colour"), "unknown field"},
		{"name with a path", set("../standard", "name"), "lower-case"},
		{"no version", set(0, "version"), "counts from 1"},
		{"missing role", func(m map[string]any) { delete(at(m, "networks"), "embed") }, "role embed is missing"},
		{"unknown role", func(m map[string]any) { at(m, "networks")["iris"] = at(m, "networks")["landmarks"] }, "unknown role"},
		{"file in another folder", set("../embed.tflite", "networks", "embed", "file"), "plain lower-case name"},
		{"absolute file", set("/etc/passwd.tflite", "networks", "embed", "file"), "plain lower-case name"},
		{"file that is the manifest", set("manifest.json", "networks", "embed", "file"), "ending in .tflite"},
		{"one file for two roles", set("landmarks.tflite", "networks", "embed", "file"), "used twice"},
		{"hash too short", set("abcd", "networks", "embed", "sha256"), "sha256"},
		{"hash in capitals", set(strings.Repeat("AB", 32), "networks", "embed", "sha256"), "sha256"},
		{"huge network", set(int64(1)<<40, "networks", "embed", "size"), "out of bounds"},
		{"no bytes", set(0, "networks", "embed", "size"), "out of bounds"},
		{"unknown conversion", set("magic", "networks", "embed", "conversion"), "conversion"},
		{"no sources", set([]any{}, "networks", "embed", "sources"), "sources"},
		{"source in another folder", source("name", "../../secret.bin"), "without a path"},
		{"npm path that climbs", source("npm", "../../secret.bin"), "leaves its folder"},
		{"plain http", source("url", "http://example.org/x"), "not an https address"},
		{"published hash of another length", source("sha384", "00"), "sha384"},
		{"odd input", set([]int{1, 128, 128, 4}, "networks", "embed", "input", "shape"), "input shape"},
		{"endless input", set([]int{1, 1 << 20, 1 << 20, 3}, "networks", "embed", "input", "shape"), "input shape"},
		{"channel order", set("grb", "networks", "embed", "input", "order"), "rgb or bgr"},
		{"no contrast", set(0, "networks", "embed", "input", "scale"), "scale 0"},
		{"endless output", set([]any{map[string]any{"name": "x", "shape": []int{1 << 19, 1 << 19, 1 << 19}}}, "networks", "embed", "outputs"), "out of bounds"},
		{"no template", set(nil, "networks", "embed", "template"), "template"},
		{"space of something else", set("standard-000000000000", "space"), "give \"standard-"},
		{"strangers more alike", set(0.999, "golden", "strangers"), "mates must be more alike"},
		{"half a golden template", set("AAAA", "golden", "template"), "float32s"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := models.ParseManifest(editManifest(t, "standard", tt.edit))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want something about %q", err, tt.want)
			}
		})
	}
	// A pack against presentation attacks recognises nobody, and no other pack looks
	// for attacks.
	embed := editable(t, "standard")["networks"].(map[string]any)["embed"]
	for name, tt := range map[string]struct {
		pack string
		edit func(map[string]any)
		want string
	}{
		"no second network": {models.PAD, func(m map[string]any) { delete(at(m, "networks"), "pad_wide") }, "pad_wide is missing"},
		"no crop":           {models.PAD, set(0, "networks", "pad_close", "crop"), "crop 0"},
		"endless crop":      {models.PAD, set(1e9, "networks", "pad_close", "crop"), "crop 1e+09"},
		"an embedder":       {models.PAD, set(embed, "networks", "embed"), "alone there"},
		"a space":           {models.PAD, set("pad-000000000000", "space"), "give \"\""},
		"another name":      {models.PAD, set("mine", "name"), "is missing"},
		"beside an embedder": {"standard", func(m map[string]any) {
			at(m, "networks")["pad_close"] = editable(t, models.PAD)["networks"].(map[string]any)["pad_close"]
		}, "alone there"},
		"crop of an embedder": {"standard", set(2, "networks", "embed", "crop"), "no other network"},
	} {
		_, err := models.ParseManifest(editManifest(t, tt.pack, tt.edit))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want something about %q", name, err, tt.want)
		}
	}
	if _, err := models.ParseManifest(append(definition(t, "basic"), '{')); err == nil {
		t.Error("something after the manifest was accepted")
	}
	if _, err := models.ParseManifest(make([]byte, 2<<20)); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("two mebibytes: %v", err)
	}
}

func FuzzParseManifest(f *testing.F) {
	f.Add(definition(f, models.PAD))
	f.Add(definition(f, "standard"))
	f.Add(definition(f, "basic"))
	f.Add([]byte(`{"name":"../x","networks":{"embed":{"file":"/etc/passwd"}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := models.ParseManifest(b)
		if err != nil {
			return
		}
		// What parses must be safe to act on and survive being written.
		for _, r := range m.Roles() {
			if n := m.Networks[r].File; n != filepath.Base(n) || strings.HasPrefix(n, ".") {
				t.Fatalf("%s: file %q is accepted", r, n)
			}
		}
		if s := m.Calibration.Similarity(0.5); !(s >= 0 && s <= 100) {
			t.Fatalf("similarity %v", s)
		}
		m.Calibration.Threshold(1e-4)
		again, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := models.ParseManifest(again); err != nil {
			t.Fatalf("what Encode wrote is refused: %v", err)
		}
	})
}
