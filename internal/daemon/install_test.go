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
func TestInstall(t *testing.T) { testInstall(t, "cypherfaced") }

// … as that of a central, which brings a command that knows its data.
func TestInstallCentral(t *testing.T) {
	root := testInstall(t, "cypherface-central", "central")
	for name, data := range map[string]string{"cypherface": "CYPHERFACE_DATA:-/var/lib/cypherface-central}", "cypherface-central": "--data /var/lib/cypherface-central"} {
		raw, err := os.ReadFile(filepath.Join(root, "usr/local/bin", name))
		if err != nil || !strings.Contains(string(raw), data) {
			t.Errorf("%s: %v\n%s", name, err, raw)
		}
	}
	if out, err := exec.Command("bash", "../../scripts/install", "nothing").CombinedOutput(); err == nil || !strings.Contains(string(out), "nothing") {
		t.Errorf("what is not there: %v, %s", err, out)
	}
}

func testInstall(t *testing.T, daemon string, args ...string) (root string) {
	t.Helper()
	built, root := t.TempDir(), t.TempDir()
	files := map[string]string{
		"install": "../../scripts/install", daemon + ".conf": "../../systemd/" + daemon + ".conf", daemon + ".service": "../../systemd/" + daemon + ".service",
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
	for _, name := range []string{daemon, "cypherface", "lib/libx.so", "packs/basic/manifest.json", "packs/.lock"} {
		write(t, filepath.Join(built, name), name)
	}
	for name := range map[string]bool{"install": true, daemon: true} {
		if err := os.Chmod(filepath.Join(built, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	install := func() {
		t.Helper()
		cmd := exec.Command("bash", append([]string{filepath.Join(built, "install")}, args...)...)
		cmd.Env = append(os.Environ(), "DESTDIR="+root)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	install()
	settings, pack := filepath.Join(root, "etc/cypherface", daemon+".conf"), filepath.Join(root, "opt/cypherface/packs/own.json")
	write(t, settings, "camera = none:\n")
	write(t, pack, "mine")
	write(t, filepath.Join(built, daemon), "newer")
	install()
	for path, want := range map[string]string{
		settings: "camera = none:\n", pack: "mine",
		filepath.Join(root, "opt/cypherface", daemon):                   "newer",
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
	if _, err := os.Stat(filepath.Join(root, "etc/systemd/system", daemon+".service")); err != nil {
		t.Error(err)
	}
	return root
}

// systemd reads the units without a complaint, but for the programs that are not
// installed here.
func TestTheUnitsAreSound(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	for _, unit := range []string{"cypherfaced.service", "cypherface-central.service"} {
		out, _ := exec.Command("systemd-analyze", "verify", "../../systemd/"+unit).CombinedOutput() // of the program it complains always
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, unit) && !strings.Contains(line, "is not executable") {
				t.Error(strings.TrimSpace(line))
			}
		}
	}
}
