// Package edge is the root of the module; it holds no code, only the rules of
// the architecture as tests.
package edge

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/cypherface/edge/"

// floors is the house: a package imports only packages of lower floors. A
// pattern ending in /* covers the packages below a folder.
var floors = [][]string{
	{"internal/picture", "engine/scan", "models/convert", "internal/faultfs", "internal/mail", "internal/mail/mailtest", "docs/client"},
	{"engine", "camera", "store", "models", "sync/wire", "internal/web", "internal/synthface"},
	{"store/*", "engine/tflite", "engine/liveness", "camera/*", "internal/audit", "internal/auth"},
	{"internal/verify", "internal/accuracy", "internal/account", "internal/door", "internal/events", "internal/upkeep", "internal/rights", "internal/attack", "store/backup", "sync/uplink"},
	{"internal/bulk", "internal/join", "sync/hub"},
	{"internal/api", "sync/host"},
	{"internal/daemon"},
	{"cmd/*", "sync/simtest"},
}

// floor returns the floor of a package, -1 when the house has no room for it.
func floor(pkg string) int {
	for i, rooms := range floors {
		for _, room := range rooms {
			if room == pkg {
				return i
			}
		}
	}
	for i, rooms := range floors {
		for _, room := range rooms {
			if dir, ok := strings.CutSuffix(room, "/*"); ok && path.Dir(pkg) == dir {
				return i
			}
		}
	}
	return -1
}

type source struct {
	pkg, file string
	test      bool
	imports   []string
	doc       string
}

func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && p != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "bin" || d.Name() == "data") {
			return fs.SkipDir
		}
		if d.IsDir() || filepath.Ext(p) != ".go" {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		s := source{pkg: filepath.ToSlash(filepath.Dir(p)), file: p, test: strings.HasSuffix(p, "_test.go")}
		for _, imp := range f.Imports {
			name, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				return err
			}
			s.imports = append(s.imports, name)
		}
		if f.Doc != nil {
			s.doc = f.Doc.Text()
		}
		all = append(all, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestImportsGoDown(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || s.pkg == "." {
			continue
		}
		from := floor(s.pkg)
		if from < 0 {
			t.Errorf("%s: package %s stands on no floor; give it one in architecture_test.go and docs/ARCHITECTURE.md", s.file, s.pkg)
			continue
		}
		for _, imp := range s.imports {
			pkg, ours := strings.CutPrefix(imp, module)
			if !ours {
				continue
			}
			if to := floor(pkg); to >= from {
				t.Errorf("%s imports %s: floor %d may not look up to floor %d", s.file, pkg, from, to)
			}
		}
	}
}

func TestConformanceSuitesStayInTests(t *testing.T) {
	for _, s := range sources(t) {
		for _, imp := range s.imports {
			if !s.test && (strings.HasSuffix(imp, "/storetest") || strings.HasSuffix(imp, "/cameratest") || strings.HasSuffix(imp, "/fusecam") || strings.HasSuffix(imp, "/simtest") || strings.HasSuffix(imp, "/faultfs") || strings.HasSuffix(imp, "/mailtest")) {
				t.Errorf("%s imports %s outside a test", s.file, imp)
			}
		}
	}
}

// The workshop of attacks is for measurements: nothing that the daemon is made of
// imports it.
func TestTheDaemonLinksNoAttacks(t *testing.T) {
	for _, s := range sources(t) {
		for _, imp := range s.imports {
			if !s.test && imp == module+"internal/attack" && s.pkg != "cmd/cypherface" {
				t.Errorf("%s imports internal/attack; only cmd/cypherface may", s.file)
			}
		}
	}
}

// What reads schedules brings the time zones along: a small system has no files of them,
// and a schedule in a zone that nobody knows lets nobody pass.
func TestTimeZonesAreBuiltIn(t *testing.T) {
	for _, s := range sources(t) {
		if !s.test && s.pkg == "internal/verify" && slices.Contains(s.imports, "time/tzdata") {
			return
		}
	}
	t.Error("internal/verify does not import time/tzdata")
}

// The C compiler is let into as few packages as the job allows.
func TestCgoStaysInItsRooms(t *testing.T) {
	allowed := map[string]bool{"engine/tflite": true, "engine/scan": true, "internal/picture": true}
	for _, s := range sources(t) {
		for _, imp := range s.imports {
			if imp == "C" && !allowed[s.pkg] {
				t.Errorf("%s imports \"C\"; only engine/tflite, engine/scan and internal/picture do", s.file)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t) {
		documented[s.pkg] = documented[s.pkg] || !s.test && s.doc != "" || s.pkg == "." && s.doc != ""
	}
	for pkg, ok := range documented {
		if !ok {
			t.Errorf("package %s has no package comment", pkg)
		}
	}
}

func TestSyncIsANamespace(t *testing.T) {
	for _, s := range sources(t) {
		if s.pkg == "sync" {
			t.Errorf("%s: sync/ holds packages, no Go files of its own", s.file)
		}
	}
}

// TestDocsNameTestsThatExist: a promise in the docs that a test shows is no promise
// when the test has gone.
func TestDocsNameTestsThatExist(t *testing.T) {
	there := map[string]bool{}
	for _, s := range sources(t) {
		if !s.test {
			continue
		}
		raw, err := os.ReadFile(s.file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`).FindAllSubmatch(raw, -1) {
			there[string(m[1])] = true
		}
	}
	docs, err := filepath.Glob("docs/*.md")
	if err != nil || len(docs) == 0 {
		t.Fatalf("%d documents, %v", len(docs), err)
	}
	for _, doc := range append(docs, "README.md") {
		raw, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z]\\w*)`").FindAllSubmatch(raw, -1) {
			if !there[string(m[1])] {
				t.Errorf("%s names %s, which is no test", doc, m[1])
			}
		}
	}
}
