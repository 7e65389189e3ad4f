package daemon

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// scripts/install puts a built folder below DESTDIR, twice, and keeps settings
// and other packs.
func TestInstall(t *testing.T) {
	built, root := t.TempDir(), t.TempDir()
	files := map[string]string{
		"install": "../../scripts/install", "cypherfaced.conf": sample, "cypherfaced.service": "../../systemd/cypherfaced.service",
	}
	for name, from := range files {
		raw, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(built, name), string(raw))
	}
	for _, name := range []string{"lib", "packs/basic"} {
		if err := os.MkdirAll(filepath.Join(built, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"cypherfaced", "cypherface", "lib/libx.so", "packs/basic/manifest.json", "packs/.lock"} {
		write(t, filepath.Join(built, name), name)
	}
	for name := range map[string]bool{"install": true, "cypherfaced": true} {
		if err := os.Chmod(filepath.Join(built, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	install := func() {
		t.Helper()
		cmd := exec.Command("bash", filepath.Join(built, "install"))
		cmd.Env = append(os.Environ(), "DESTDIR="+root)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	install()
	settings, pack := filepath.Join(root, "etc/cypherface/cypherfaced.conf"), filepath.Join(root, "opt/cypherface/packs/own.json")
	write(t, settings, "camera = none:\n")
	write(t, pack, "mine")
	write(t, filepath.Join(built, "cypherfaced"), "newer")
	install()
	for path, want := range map[string]string{
		settings: "camera = none:\n", pack: "mine",
		filepath.Join(root, "opt/cypherface/cypherfaced"):               "newer",
		filepath.Join(root, "opt/cypherface/lib/libx.so"):               "lib/libx.so",
		filepath.Join(root, "opt/cypherface/packs/basic/manifest.json"): "packs/basic/manifest.json",
	} {
		if raw, err := os.ReadFile(path); err != nil || string(raw) != want {
			t.Errorf("%s: %q, %v", path, raw, err)
		}
	}
	if _, err := os.Stat(filepath.Join(root, "opt/cypherface/packs/.lock")); err == nil {
		t.Error("a lock was installed")
	}
	if st, err := os.Stat(filepath.Join(root, "usr/local/bin/cypherface")); err != nil || st.Mode().Perm() != 0o755 {
		t.Errorf("command: %v, %v", st, err)
	}
}

// systemd reads the unit without a complaint, but for the program that is not
// installed here.
func TestTheUnitIsSound(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	out, _ := exec.Command("systemd-analyze", "verify", "../../systemd/cypherfaced.service").CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "cypherfaced.service") && !strings.Contains(line, "is not executable") {
			t.Error(strings.TrimSpace(line))
		}
	}
}
