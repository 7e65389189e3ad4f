package models_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cypherface/edge/models"
)

// visible lists the packs and leftovers of a root.
func visible(t testing.TB, root string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != ".lock" {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestImport(t *testing.T) {
	stick, root := t.TempDir(), filepath.Join(t.TempDir(), "packs")
	var steps []string
	in := models.Installer{Root: root, Progress: func(s string) { steps = append(steps, s) }}
	p, err := in.Import(t.Context(), writePack(t, stick, "mine", "1"))
	if err != nil {
		t.Fatal(err)
	}
	if p.Dir != filepath.Join(root, "mine") || p.Verify() != nil || len(steps) == 0 {
		t.Errorf("installed to %s: %v; %d steps told", p.Dir, p.Verify(), len(steps))
	}
	if p.Builtin() {
		t.Error("an imported pack passes for one this program knows")
	}
	if st, _ := os.Stat(p.Dir); st.Mode().Perm() != 0o755 {
		t.Errorf("the folder has mode %v: the daemon could not read it", st.Mode())
	}

	// A new version takes its place and the old one is kept aside.
	next, err := in.Import(t.Context(), writePack(t, t.TempDir(), "mine", "2"))
	if err != nil || next.Digest() == p.Digest() {
		t.Fatalf("second import: %v", err)
	}
	if old := openPack(t, filepath.Join(root, ".old-mine")); old.Digest() != p.Digest() || old.Verify() != nil {
		t.Error("the previous pack was not kept")
	}
	// There is a way back, and forth again.
	for _, want := range []*models.Pack{p, next} {
		if err := models.Restore(root, "mine"); err != nil {
			t.Fatal(err)
		}
		if now := openPack(t, filepath.Join(root, "mine")); now.Digest() != want.Digest() || now.Verify() != nil {
			t.Error("another pack was restored than was there before")
		}
	}
	if err := models.Restore(root, "nonesuch"); err == nil || !strings.Contains(err.Error(), "none was kept") {
		t.Errorf("restoring what never was: %v", err)
	}
	// The same once more repairs and keeps nothing.
	if _, err := in.Import(t.Context(), writePack(t, t.TempDir(), "mine", "2")); err != nil {
		t.Fatal(err)
	}
	if got := visible(t, root); len(got) != 1 {
		t.Errorf("left: %v", got)
	}
}

func TestImportRefusesADamagedPackAndLeavesNothing(t *testing.T) {
	dir, root := writePack(t, t.TempDir(), "mine", ""), t.TempDir()
	path := filepath.Join(dir, "embed.tflite")
	b, _ := os.ReadFile(path)
	b[100] ^= 1
	write(t, path, b)
	if _, err := (models.Installer{Root: root}).Import(t.Context(), dir); !errors.Is(err, models.ErrDamaged) {
		t.Errorf("got %v, want ErrDamaged", err)
	}
	if got := visible(t, root); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
}

func TestRefusedTrialKeepsTheOldPack(t *testing.T) {
	root := t.TempDir()
	old := openPack(t, writePack(t, root, "mine", "1"))
	crash := errors.New("killed by SIGSEGV")
	in := models.Installer{Root: root, Try: func(_ context.Context, p *models.Pack) error {
		if p.Dir == old.Dir || p.Verify() != nil {
			t.Error("the trial was given another folder, or an unfinished one")
		}
		return crash
	}}
	if _, err := in.Import(t.Context(), writePack(t, t.TempDir(), "mine", "2")); !errors.Is(err, crash) {
		t.Errorf("got %v", err)
	}
	if now := openPack(t, old.Dir); now.Digest() != old.Digest() {
		t.Error("the refused pack took the old one's place")
	}
	if got := visible(t, root); len(got) != 1 {
		t.Errorf("left: %v", got)
	}
}

func TestInstallerClearsWhatAKilledOneLeft(t *testing.T) {
	root := t.TempDir()
	os.MkdirAll(filepath.Join(root, ".new-123"), 0o755)
	write(t, filepath.Join(root, ".new-123", "embed.tflite"), []byte("half"))
	if packs, err := models.Installed(root); len(packs) != 0 || err != nil {
		t.Errorf("a half-done import is visible: %v, %v", packs, err)
	}
	if _, err := (models.Installer{Root: root}).Import(t.Context(), writePack(t, t.TempDir(), "mine", "")); err != nil {
		t.Fatal(err)
	}
	if got := visible(t, root); len(got) != 1 {
		t.Errorf("left: %v", got)
	}
}

func TestOneInstallationAtATime(t *testing.T) {
	root, stick := t.TempDir(), t.TempDir()
	writePack(t, stick, "mine", "")
	second := models.Installer{Root: root}
	first := models.Installer{Root: root, Try: func(ctx context.Context, _ *models.Pack) error {
		_, err := second.Import(ctx, filepath.Join(stick, "mine"))
		return err
	}}
	if _, err := first.Import(t.Context(), filepath.Join(stick, "mine")); err == nil || !strings.Contains(err.Error(), "under way") {
		t.Errorf("got %v", err)
	}
}

func TestInstallStopsWhenAsked(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	root := t.TempDir()
	if _, err := (models.Installer{Root: root}).Import(ctx, writePack(t, t.TempDir(), "mine", "")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if got := visible(t, root); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
}

// A full disk is a real one here: a file system of 64 KiB.
func TestFullDisk(t *testing.T) {
	root := t.TempDir()
	if err := syscall.Mount("packs", root, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("a small file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(root, syscall.MNT_DETACH) })
	_, err := models.Installer{Root: root}.Import(t.Context(), writePack(t, t.TempDir(), "mine", strings.Repeat("x", 100)))
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("got %v", err)
	}
	if got := visible(t, root); len(got) != 0 {
		t.Errorf("left behind on the full disk: %v", got)
	}
}

func TestUnwritableRoot(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, nil)
	_, err := models.Installer{Root: filepath.Join(file, "packs")}.Import(t.Context(), writePack(t, t.TempDir(), "mine", ""))
	if !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("got %v", err)
	}
}

// The basic pack's originals are what the build fetches.
func TestBuildBasic(t *testing.T) {
	const modules = "../.deps/npm/node_modules"
	if _, err := os.Stat(modules); err != nil {
		t.Fatalf("%v (run make setup)", err)
	}
	root := t.TempDir()
	in := models.Installer{Root: root}
	p, err := in.Build(t.Context(), "basic", models.Folders(modules))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Verify(); err != nil || !p.Builtin() {
		t.Errorf("verify: %v, builtin %v", err, p.Builtin())
	}

	// A newer program brings a new description of the same networks.
	m := p.Manifest
	m.Calibration = models.Calibration{}
	m.Summary = "as an older program saw it"
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(p.Dir, "manifest.json"), b)
	if openPack(t, p.Dir).Builtin() {
		t.Fatal("a changed manifest passes for the one this program knows")
	}
	if ok, err := in.Refresh("basic"); !ok || err != nil {
		t.Errorf("refresh: %v, %v", ok, err)
	}
	if !openPack(t, p.Dir).Builtin() {
		t.Error("the description was not brought up to date")
	}

	// Standard takes its detectors from here and misses the rest.
	_, err = in.Build(t.Context(), "standard", models.InstalledFiles(root))
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "landmarks: find landmarks-regression") {
		t.Errorf("standard without its weights: %v", err)
	}
	if _, err := in.Build(t.Context(), "nonesuch", models.InstalledFiles(root)); err == nil {
		t.Error("an unknown pack was built")
	}
}

func TestBuildStandard(t *testing.T) {
	const sources = "../../shared/models/sources"
	if _, err := os.Stat(sources); err != nil {
		t.Skip("the standard pack's original weights are not at ../shared/models/sources")
	}
	p, err := models.Installer{Root: t.TempDir()}.Build(t.Context(), "standard", models.Folders(sources, "../.deps/npm/node_modules"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Verify(); err != nil {
		t.Error(err)
	}
}

// The networks against presentation attacks are converted of what their makers publish,
// under its own names too.
func TestBuildPAD(t *testing.T) {
	const sources = "../../shared/models/sources"
	if _, err := os.Stat(sources + "/minifasnet_ncnn_1.param"); err != nil {
		t.Skip("the weights against presentation attacks are not at ../shared/models/sources")
	}
	as := t.TempDir()
	for from, to := range map[string]string{"minifasnet_ncnn_1": "model_1", "minifasnet_ncnn_2": "model_2"} {
		for _, end := range []string{".param", ".bin"} {
			b, err := os.ReadFile(filepath.Join(sources, from+end))
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(as, to+end), b)
		}
	}
	for _, dir := range []string{sources, as} {
		p, err := models.Installer{Root: t.TempDir()}.Build(t.Context(), models.PAD, models.Folders(dir))
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Verify(); err != nil || !p.Builtin() {
			t.Error(err)
		}
	}
}

func TestFoldersReportADamagedSource(t *testing.T) {
	m, err := models.Definition("standard")
	if err != nil {
		t.Fatal(err)
	}
	s := m.Networks[models.Embed].Sources[1]
	good, bad := t.TempDir(), t.TempDir()
	find := models.FirstOf(models.Folders(bad), models.Folders(good))
	if _, err := find(t.Context(), s); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nowhere: %v", err)
	}
	write(t, filepath.Join(bad, s.Name), bytes.Repeat([]byte{1}, int(s.Size)))
	if _, err := find(t.Context(), s); !errors.Is(err, models.ErrDamaged) {
		t.Errorf("damaged: %v", err)
	}
}
