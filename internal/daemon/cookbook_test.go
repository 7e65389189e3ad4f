package daemon

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// sh are the blocks of commands in a document, one after another.
func sh(t *testing.T, path string) (blocks []string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(raw), -1) {
		blocks = append(blocks, m[1])
	}
	return blocks
}

// The cookbook works as it is printed, but for the address of the box.
func TestTheCookbook(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed")
	}
	blocks := sh(t, "../../docs/api.md")
	if len(blocks) < 10 {
		t.Fatalf("docs/api.md has %d blocks of commands", len(blocks))
	}
	models, err := filepath.Abs("../../models")
	if err != nil {
		t.Fatal(err)
	}
	d := start(t, shortDir(t), "--camera", "none:")
	dir := filepath.Dir(d.dir) // where its data is called data
	if err := os.Symlink(models, filepath.Join(dir, "models")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "frames"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, frames := filmed(t, 5) // of somebody alive, who is not Ada
	for i, frame := range frames {
		if err := os.WriteFile(filepath.Join(dir, "frames", fmt.Sprintf("a%d.png", i)), frame, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "people.zip"), zipped(t, "bea.png", stranger), 0o600); err != nil {
		t.Fatal(err)
	}
	tool := filepath.Join(dir, "cypherface")
	build := exec.Command("go", "build", "-o", tool, "../../cmd/cypherface")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // it only speaks to the socket
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the tool: %v\n%s", err, out)
	}
	script := strings.ReplaceAll(strings.Join(blocks, "\necho\n"), "http://127.0.0.1:8080", d.url)
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	raw, err := cmd.CombinedOutput()
	out := string(raw)
	if err != nil || strings.Contains(out, `"success":false`) {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		`"match":true`, `"faceCount":1`, `"livenessSuccess":true`, `"Status":"SUCCEEDED"`, `"message":"Consent withdrawn."`, `"message":"API key revoked."`,
		`"status":"expiring"`, `"verifications":[{`, `"end":"17:30"`, `"email":"grace@example.net"`, `"timeZone":"Europe/Berlin"`, "Face mismatch. Similarity is ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
	for _, file := range []string{"face.jpg", "ada.json", "receipt.json"} {
		if st, err := os.Stat(filepath.Join(dir, file)); err != nil || st.Size() < 500 {
			t.Errorf("%s: %v, %v", file, st, err)
		}
	}
}

// Each path that the cookbook names is one of the contract.
func TestTheCookbookKeepsToTheContract(t *testing.T) {
	raw, err := os.ReadFile("../../internal/api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Paths map[string]any }
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("(?:call|owner|BOX|`) ?'?\"?(/[a-zA-Z$][^ ?`'\")\n]*)").FindAllStringSubmatch(string(text), -1)
	if len(named) < 20 {
		t.Fatalf("%d paths found", len(named))
	}
	for _, m := range named {
		path := "/" + strings.Trim(strings.TrimPrefix(m[1], "/api/"), "/")
		for _, v := range [][2]string{{"$ADA", "{userId}"}, {"$SESSION", "{sessionId}"}, {"$NEXT", "{keyId}"}, {"$ERASURE", "{erasureId}"}, {"$JOB", "{bulkId}"}, {"$DOOR", "{doorId}"}, {"$SITE", "{siteId}"}} {
			path = strings.ReplaceAll(path, v[0], v[1])
		}
		if path != "/api" && doc.Paths[path] == nil {
			t.Errorf("%s is not in the contract", path)
		}
	}
}
