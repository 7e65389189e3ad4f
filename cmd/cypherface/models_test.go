package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cypherface/edge/camera/fusecam"
	"github.com/cypherface/edge/engine/tflite"
	"github.com/cypherface/edge/internal/daemon"
	"github.com/cypherface/edge/models"
)

// TestMain lets this test's program be its own trial process, or a daemon.
func TestMain(m *testing.M) {
	fusecam.Main()
	if len(os.Args) > 1 {
		if p, ok := programs[os.Args[1]]; ok {
			os.Args = append(os.Args[:1], os.Args[2:]...)
			daemon.Main(p)
			return
		}
	}
	if code, asked := tflite.ProbeMain(context.Background(), os.Args[1:], os.Stdout, os.Stderr); asked {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// Folders that make setup fills.
const (
	testPacks = "../../.deps/packs"
	testNPM   = "../../.deps/npm/node_modules"
)

// cli runs a command line and returns what it printed and its status.
func cli(t *testing.T, env map[string]string, args ...string) (out, errs string, code int) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), args, &terminal{in: strings.NewReader(""), out: &o, err: &e, getenv: func(k string) string { return env[k] }})
	return o.String(), e.String(), code
}

// mustCLI runs a command line that must succeed.
func mustCLI(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, code := cli(t, nil, args...)
	if code != 0 {
		t.Fatalf("cypherface %s: status %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// copyPack copies an installed pack into root; it may have another name there.
func copyPack(t *testing.T, root, name, as string) string {
	t.Helper()
	from, err := models.Open(filepath.Join(testPacks, name))
	if err != nil {
		t.Fatalf("%v (run make setup)", err)
	}
	dir := filepath.Join(root, as)
	if err := os.CopyFS(dir, os.DirFS(from.Dir)); err != nil {
		t.Fatal(err)
	}
	if name == as {
		return dir
	}
	m := from.Manifest
	m.Name = as
	m.Space = m.DeriveSpace()
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "manifest.json"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func damage(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 0x40
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestModelsList(t *testing.T) {
	root := t.TempDir()
	copyPack(t, root, "basic", "basic")
	damage(t, filepath.Join(copyPack(t, root, "basic", "mine"), "embed.tflite"))

	out := mustCLI(t, "models", "list", "--packs", root)
	for _, want := range []string{"basic", "in use", "mine", "damaged", "standard", "not installed", "Apache-2.0", "face-reidentification-retail-0095", "sha256 is"} {
		if !strings.Contains(out, want) {
			t.Errorf("the list does not say %q:\n%s", want, out)
		}
	}

	var list struct {
		Root  string
		Packs []packState
	}
	if err := json.Unmarshal([]byte(mustCLI(t, "models", "list", "--packs", root, "--json")), &list); err != nil {
		t.Fatal(err)
	}
	states := map[string]string{}
	for _, p := range list.Packs {
		states[p.Name] = p.State + ", " + p.Probe
		if p.Name == models.PAD && p.Rates == nil {
			continue
		}
		if p.Rates == nil || p.Rates.FNMR3 == nil || *p.Rates.FNMR3 <= 0 {
			t.Errorf("%s: no error rates", p.Name)
		}
	}
	for name, want := range map[string]string{"basic": "in use, built in", "mine": "damaged, due", "standard": "not installed, ", models.PAD: "not installed, "} {
		if states[name] != want {
			t.Errorf("%s is %q, want %q", name, states[name], want)
		}
	}
}

func TestModelsRootFromTheEnvironment(t *testing.T) {
	root := t.TempDir()
	copyPack(t, root, "basic", "basic")
	out, _, code := cli(t, map[string]string{"CYPHERFACE_PACKS": root}, "models", "list")
	if code != 0 || !strings.Contains(out, "in use") {
		t.Errorf("status %d\n%s", code, out)
	}
}

func TestModelsVerify(t *testing.T) {
	root := t.TempDir()
	copyPack(t, root, "basic", "basic")
	if out := mustCLI(t, "models", "verify", "--packs", root); !strings.Contains(out, "all 3 networks") {
		t.Error(out)
	}
	damage(t, filepath.Join(root, "basic", "embed.tflite"))
	out, _, code := cli(t, nil, "models", "verify", "--packs", root, "basic")
	if code != 1 || !strings.Contains(out, "DAMAGED") || !strings.Contains(out, "embed.tflite") {
		t.Errorf("status %d, want 1 and the network's name\n%s", code, out)
	}
	if _, errs, code := cli(t, nil, "models", "verify", "--packs", root, "nonesuch"); code != 2 || !strings.Contains(errs, "not installed") {
		t.Errorf("unknown pack: status %d, %s", code, errs)
	}
	if _, errs, code := cli(t, nil, "models", "verify", "--packs", t.TempDir()); code != 2 || !strings.Contains(errs, "no pack is installed") {
		t.Errorf("empty root: status %d, %s", code, errs)
	}
}

func TestModelsImportAndUse(t *testing.T) {
	stick, root := t.TempDir(), filepath.Join(t.TempDir(), "packs")
	copyPack(t, root, "basic", "basic")
	mine := copyPack(t, stick, "basic", "mine")

	if out := mustCLI(t, "models", "import", "--packs", root, mine); !strings.Contains(out, "installed pack mine") {
		t.Error(out)
	}
	if out := mustCLI(t, "models", "use", "--packs", root, "mine"); !strings.Contains(out, "in use from the next start") {
		t.Error(out)
	}
	if p, err := models.Default(root); err != nil || p.Name != "mine" {
		t.Fatalf("in use: %v, %v", p, err)
	}

	// A changed one takes its place, and the one before can be had back.
	was, _ := models.Default(root)
	if err := os.Rename(mine, mine+"-1"); err != nil {
		t.Fatal(err)
	}
	changed := copyPack(t, stick, "basic", "mine")
	retitle(t, changed)
	mustCLI(t, "models", "import", "--packs", root, changed)
	mustCLI(t, "models", "use", "--packs", root, "--previous", "mine")
	if p, err := models.Default(root); err != nil || p.Digest() != was.Digest() {
		t.Errorf("the previous pack did not come back: %v", err)
	}
	if _, errs, code := cli(t, nil, "models", "use", "--packs", root, "--previous", "basic"); code != 2 || !strings.Contains(errs, "none was kept") {
		t.Errorf("status %d, %s", code, errs)
	}

	// A pack that fails its trial is refused, and the box stays on its own.
	swapOutputs(t, filepath.Join(root, "basic"))
	_, errs, code := cli(t, nil, "models", "use", "--packs", root, "basic")
	if code != 2 || !strings.Contains(errs, "stays on the pack it has") {
		t.Errorf("status %d, %s", code, errs)
	}
	if p, err := models.Default(root); err != nil || p.Name != "mine" {
		t.Errorf("in use: %v, %v", p, err)
	}
	for _, name := range []string{"nonesuch", "../mine"} {
		if _, _, code := cli(t, nil, "models", "use", "--packs", root, name); code != 2 {
			t.Errorf("use %s: status %d", name, code)
		}
	}
}

// swapOutputs makes a pack whose hashes fit and whose golden answers do not.
func swapOutputs(t *testing.T, dir string) {
	editPack(t, dir, func(m *models.Manifest) {
		n := m.Networks[models.Embed]
		n.Golden = append([]float64{1}, n.Golden[:len(n.Golden)-1]...)
		m.Networks[models.Embed] = n
	})
}

func retitle(t *testing.T, dir string) {
	editPack(t, dir, func(m *models.Manifest) { m.Summary, m.Version = "a later version", m.Version+1 })
}

func editPack(t *testing.T, dir string, edit func(*models.Manifest)) {
	t.Helper()
	p, err := models.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	edit(&p.Manifest)
	b, err := p.Manifest.Encode()
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "manifest.json"), b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestModelsImportRefuses(t *testing.T) {
	stick, root := t.TempDir(), t.TempDir()
	mine := copyPack(t, stick, "basic", "mine")
	damage(t, filepath.Join(mine, "detect_full.tflite"))
	empty := t.TempDir()
	file := filepath.Join(stick, "file")
	os.WriteFile(file, nil, 0o644)
	for dir, want := range map[string]string{mine: "sha256 is", empty: "neither a manifest.json nor", file: "not a folder"} {
		_, errs, code := cli(t, nil, "models", "import", "--packs", root, "--npm", testNPM, dir)
		if code != 2 || !strings.Contains(errs, want) {
			t.Errorf("status %d, want 2 and %q: %s", code, want, errs)
		}
	}
	if packs, err := models.Installed(root); len(packs) != 0 || err != nil {
		t.Errorf("left: %v, %v", packs, err)
	}
}

func TestModelsImportOriginalWeights(t *testing.T) {
	sources := "../../../shared/models/sources"
	if _, err := os.Stat(sources); err != nil {
		t.Skip("the standard pack's original weights are not at ../shared/models/sources")
	}
	root := t.TempDir()
	out := mustCLI(t, "models", "import", "--packs", root, "--npm", testNPM, sources)
	if !strings.Contains(out, "installed and in use: pack standard") {
		t.Error(out)
	}
}

// The networks against presentation attacks are added by one command to whatever pack
// is in use, which stays as it is.
func TestModelsPAD(t *testing.T) {
	sources := "../../../shared/models/sources"
	if _, err := os.Stat(sources + "/minifasnet_ncnn_1.bin"); err != nil {
		t.Skip("the weights against presentation attacks are not at ../shared/models/sources")
	}
	root := t.TempDir()
	copyPack(t, root, "basic", "basic")
	before, err := models.Default(root)
	if err != nil {
		t.Fatal(err)
	}
	doctor := func() string {
		out, _, _ := cli(t, nil, "doctor", "--packs", root, "--data", t.TempDir())
		return out
	}
	if out := doctor(); !strings.Contains(out, "without their vote") {
		t.Error(out)
	}
	if out := mustCLI(t, "models", "import", "--packs", root, "--pack", "pad", sources); !strings.Contains(out, "next start of the box: pack pad") {
		t.Error(out)
	}
	if p, err := models.Default(root); err != nil || p.Digest() != before.Digest() {
		t.Errorf("the pack in use became %v, %v", p, err)
	}
	if out := mustCLI(t, "models", "list", "--packs", root); !strings.Contains(out, "pad_close") || strings.Count(out, "in use") != 2 {
		t.Error(out)
	}
	if out := mustCLI(t, "models", "verify", "--packs", root, "--try"); !strings.Contains(out, "pad: all 2 networks") {
		t.Error(out)
	}
	if out := doctor(); !strings.Contains(out, "attacks vote on liveness") {
		t.Error(out)
	}
	if _, errs, code := cli(t, nil, "models", "use", "--packs", root, "--data", t.TempDir(), "pad"); code != 2 || !strings.Contains(errs, "beside the pack in use") {
		t.Errorf("status %d, %s", code, errs)
	}
	damage(t, filepath.Join(root, "pad", "pad_wide.tflite"))
	if out, _, code := cli(t, nil, "models", "verify", "--packs", root); code != 1 || !strings.Contains(out, "pad: DAMAGED") || !strings.Contains(out, "basic: all 3") {
		t.Errorf("status %d, %s", code, out)
	}
	if out := doctor(); !strings.Contains(out, "sha256 is") {
		t.Error(out)
	}
	// Setup mends it where it has the weights, and leaves no word where it has none.
	os.WriteFile(filepath.Join(root, ".pull-failed"), nil, 0o644)
	mustCLI(t, "models", "setup", "--packs", root, "--npm", testNPM, "--sources", sources)
	mustCLI(t, "models", "verify", "--packs", root)
	_, errs, code := cli(t, nil, "models", "setup", "--packs", t.TempDir(), "--npm", testNPM, "--sources", t.TempDir(), "--timeout", "1ms")
	if code != 0 || strings.Contains(errs, "pad") {
		t.Errorf("status %d, %s", code, errs)
	}
}

func TestModelsSetup(t *testing.T) {
	root := t.TempDir()
	// The publisher was not reachable a moment ago: setup leaves it alone.
	os.WriteFile(filepath.Join(root, ".pull-failed"), nil, 0o644)
	args := []string{"models", "setup", "--packs", root, "--npm", testNPM, "--sources", t.TempDir()}
	out, errs, code := cli(t, nil, args...)
	if code != 0 || !strings.Contains(out, "using pack basic") || !strings.Contains(out, "FMR 1e-4") {
		t.Fatalf("status %d\n%s%s", code, out, errs)
	}
	if !strings.Contains(errs, "standard is not to be had") {
		t.Errorf("it does not say that the better pack is missing:\n%s", errs)
	}
	before, err := os.Stat(filepath.Join(root, "basic"))
	if err != nil {
		t.Fatal(err)
	}
	mustCLI(t, args...)
	if after, _ := os.Stat(filepath.Join(root, "basic")); !os.SameFile(before, after) {
		t.Error("a second setup installed the pack again")
	}
	damage(t, filepath.Join(root, "basic", "embed.tflite"))
	if _, errs, code := cli(t, nil, args...); code != 0 || !strings.Contains(errs, "damaged") {
		t.Errorf("a damaged pack: status %d, %s", code, errs)
	}
	mustCLI(t, "models", "verify", "--packs", root)
}

func TestModelsSetupFailsWhereNothingIsToBeHad(t *testing.T) {
	root := t.TempDir()
	os.WriteFile(filepath.Join(root, ".pull-failed"), nil, 0o644)
	_, errs, code := cli(t, nil, "models", "setup", "--packs", root, "--npm", t.TempDir())
	if code != 2 || !strings.Contains(errs, "no pack is installed") {
		t.Errorf("status %d, %s", code, errs)
	}
}

func TestModelsPullUnknown(t *testing.T) {
	if _, errs, code := cli(t, nil, "models", "pull", "--packs", t.TempDir(), "nonesuch"); code != 2 || !strings.Contains(errs, "knows [standard basic pad]") {
		t.Errorf("status %d, %s", code, errs)
	}
}

func TestModelsConvert(t *testing.T) {
	stem := filepath.Join(testNPM, "@vladmandic/face-api/model/face_recognition_model")
	out := filepath.Join(t.TempDir(), "embed.tflite")
	var result struct {
		SHA256 string
		Size   int64
	}
	if err := json.Unmarshal([]byte(mustCLI(t, "models", "convert", stem+"-weights_manifest.json", "-o", out, "--json")), &result); err != nil {
		t.Fatal(err)
	}
	m, err := models.Definition("basic")
	if err != nil {
		t.Fatal(err)
	}
	if n := m.Networks[models.Embed]; result.SHA256 != n.SHA256 || result.Size != n.Size {
		t.Errorf("%+v, the manifest pins %s, %d bytes", result, n.SHA256, n.Size)
	}
	if st, err := os.Stat(out); err != nil || st.Size() != result.Size {
		t.Errorf("%v, %v", st, err)
	}
	for _, args := range [][]string{{"x.onnx", "-o", out}, {"missing.xml", "-o", out}, {"a.xml"}, {"-o", out}} {
		if _, _, code := cli(t, nil, append([]string{"models", "convert"}, args...)...); code != 2 {
			t.Errorf("convert %v: status %d, want 2", args, code)
		}
	}
}

func TestModelsPin(t *testing.T) {
	m, err := models.Definition("basic")
	if err != nil {
		t.Fatal(err)
	}
	want, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	// Everything that can be computed is taken away and comes back the same.
	m.Space, m.Golden = "", models.Golden{Tolerance: m.Golden.Tolerance}
	for r, n := range m.Networks {
		n.SHA256, n.Size, n.Golden = "", 0, nil
		m.Networks[r] = n
	}
	draft, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "basic.json")
	if err := os.WriteFile(path, draft, 0o644); err != nil {
		t.Fatal(err)
	}
	mustCLI(t, "models", "pin", "--from", testNPM, path)
	pinned, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := models.ParseManifest(pinned)
	if err != nil {
		t.Fatal(err)
	}
	wanted, _ := models.ParseManifest(want)
	if got.Space != wanted.Space || got.Networks[models.Embed].SHA256 != wanted.Networks[models.Embed].SHA256 ||
		!wanted.Networks[models.Embed].Answers(got.Networks[models.Embed].Golden) {
		t.Errorf("pinned:\n%s", pinned)
	}

	calibration := filepath.Join(t.TempDir(), "cal.json")
	os.WriteFile(calibration, []byte(`{"origin":"a test","impostor_pairs":1000,"mate_pairs":10,"points":[{"score":0.5,"fmr":0.1,"fnmr":0.2}]}`), 0o644)
	mustCLI(t, "models", "pin", "--calibration", calibration, path)
	pinned, _ = os.ReadFile(path)
	if got, err = models.ParseManifest(pinned); err != nil || got.Calibration.Origin != "a test" || got.Space != wanted.Space {
		t.Errorf("%v\n%s", err, pinned)
	}
	os.WriteFile(calibration, []byte(`{"points":[]}`), 0o644)
	if _, _, code := cli(t, nil, "models", "pin", "--calibration", calibration, path); code != 2 {
		t.Errorf("a calibration without points: status %d", code)
	}
}

func TestModelsHelp(t *testing.T) {
	for _, c := range modelsCommands() {
		out := mustCLI(t, append(strings.Fields(c.name), "--help")...)
		if !strings.Contains(out, "usage: cypherface "+c.name) || !strings.Contains(out, "\n  cypherface "+c.name) {
			t.Errorf("%s --help has no usage or no example:\n%s", c.name, out)
		}
	}
	if _, errs, code := cli(t, nil, "models", "fly"); code != 2 || !strings.Contains(errs, `unknown word "fly"`) {
		t.Errorf("status %d, %s", code, errs)
	}
	if _, errs, code := cli(t, nil, "models"); code != 2 || !strings.Contains(errs, "models import") {
		t.Errorf("status %d, %s", code, errs)
	}
}

func TestProbeCommand(t *testing.T) {
	if out, errs, code := cli(t, nil, "probe-pack", filepath.Join(testPacks, "basic")); code != 0 || !strings.Contains(out, "running embed.tflite") {
		t.Errorf("status %d\n%s%s", code, out, errs)
	}
	if _, errs, code := cli(t, nil, "probe-pack", t.TempDir()); code != 1 || !strings.Contains(errs, "manifest.json") {
		t.Errorf("status %d, %s", code, errs)
	}
	if _, _, code := cli(t, nil, "probe-pack"); code != 2 {
		t.Errorf("without a folder: status %d", code)
	}
}
