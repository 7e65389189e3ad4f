package daemon

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The session with curl that the README prints works as it is printed, but for
// the address of the box.
func TestTheREADMEsSession(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	raw, err := os.ReadFile("../../README.md")
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("there is no README.md")
	} else if err != nil {
		t.Fatal(err)
	}
	session := ""
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(raw), -1) {
		if strings.Contains(block[1], "bootstrap.json") && strings.Contains(block[1], "curl") {
			session = block[1]
		}
	}
	if session == "" {
		t.Fatal("README.md has no block ```sh with a session of curl and bootstrap.json")
	}
	models, err := filepath.Abs("../../models")
	if err != nil {
		t.Fatal(err)
	}
	d := start(t, shortDir(t), "--camera", "file:"+other+"?fps=5")
	dir := filepath.Dir(d.dir) // where its data is called data
	if err := os.Symlink(models, filepath.Join(dir, "models")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", strings.ReplaceAll(session, "http://127.0.0.1:8080", d.url))
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if n := strings.Count(string(out), `"match":true`); n != 3 || strings.Contains(string(out), `"success":false`) {
		t.Errorf("%d matches, want 3:\n%s", n, out)
	}
}
