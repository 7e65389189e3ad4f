package api_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// changing are the parts of a body that differ from run to run.
var changing = []struct{ pattern, name string }{
	{`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`, "UUID"},
	{`\b[0-9a-f]{24}\b`, "OBJECT-ID"},
	{`ey[\w-]+\.[\w-]+\.[\w-]+`, "TOKEN"},
	{`"last4": "[0-9a-f]{4}"`, `"last4": "LAST"`},
	{`"erasureId": "\d+-\d+"`, `"erasureId": "EPOCH-SEQ"`},
	{`/[0-9]{13}\.jpg`, "/MILLISECONDS.jpg"},
	{`signature=[\w-]+`, "signature=SIGNATURE"},
	{`"(createdAt|updatedAt|enrolledAt|lastLoginAt|time)": "[^"]*"`, `"$1": "TIME"`},
}

// golden compares a body with a file, after what changes was replaced.
func golden(t *testing.T, b *box, name string, a answer) {
	t.Helper()
	var indented bytes.Buffer
	if err := json.Indent(&indented, []byte(a.raw), "", "  "); err != nil {
		t.Fatal(err)
	}
	got := strings.ReplaceAll(indented.String(), b.url, "http://BOX")
	for _, c := range changing {
		got = regexp.MustCompile(c.pattern).ReplaceAllString(got, c.name)
	}
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\n got %s\nwant %s", name, got, want)
	}
}
