package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/store"
)

// contract is openapi.yaml, whose schemas are JSON Schema 2020-12 as those of
// OpenAPI 3.1 are, so that a library for that validates answers. Each answer that
// a test of this package gets passes through it.
type contract struct {
	doc      map[string]any
	mu       sync.Mutex // protects the compiler, the cache and what was seen
	compiler *jsonschema.Compiler
	schemas  map[string]*jsonschema.Schema
	statuses map[int]bool
}

var readContract = sync.OnceValues(func() (*contract, error) {
	raw, err := os.ReadFile("openapi.yaml")
	if err != nil {
		return nil, err
	}
	var doc any
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return nil, err
	}
	b, err := json.Marshal(doc) // as JSON has its types
	if err != nil {
		return nil, err
	}
	plain, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	c := &contract{doc: plain.(map[string]any), compiler: jsonschema.NewCompiler(), schemas: map[string]*jsonschema.Schema{}, statuses: map[int]bool{}}
	c.compiler.DefaultDraft(jsonschema.Draft2020)
	c.compiler.AssertFormat()
	return c, c.compiler.AddResource("openapi.json", plain)
})

func theContract(t testing.TB) *contract {
	t.Helper()
	c, err := readContract()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// at follows a pointer through the document, references on the way too, and
// returns where it ends.
func (c *contract) at(keys ...string) (any, string) {
	var here any = c.doc
	pointer := "#"
	step := func(key string) bool {
		switch node := here.(type) {
		case map[string]any:
			here = node[key]
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i >= len(node) {
				return false
			}
			here = node[i]
		default:
			return false
		}
		pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
		for {
			m, ok := here.(map[string]any)
			ref, isRef := m["$ref"].(string)
			if !ok || !isRef {
				return here != nil
			}
			pointer, here = "#", c.doc
			for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
				part = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
				here = here.(map[string]any)[part]
				pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(part)
			}
		}
	}
	for _, key := range keys {
		if !step(key) {
			return nil, ""
		}
	}
	return here, pointer
}

// operations lists what the contract describes, aliases too, as method, path.
func (c *contract) operations() (all [][2]string) {
	for p := range c.doc["paths"].(map[string]any) {
		item, _ := c.at("paths", p)
		for method := range item.(map[string]any) {
			if method != "parameters" && method != "$ref" {
				all = append(all, [2]string{strings.ToUpper(method), p})
			}
		}
	}
	slices.SortFunc(all, func(a, b [2]string) int { return strings.Compare(a[1]+" "+a[0], b[1]+" "+b[0]) })
	return all
}

// find returns the path of the contract that a request's path is of.
func (c *contract) find(method, requested string) (string, bool) {
	p := "/" + strings.Trim(strings.TrimPrefix(requested+"/", "/api/"), "/")
	if _, ok := c.at("paths", p, strings.ToLower(method)); ok != "" {
		return p, true
	}
	for _, op := range c.operations() {
		pattern := op[1]
		for strings.Contains(pattern, "{") {
			i, j := strings.Index(pattern, "{"), strings.Index(pattern, "}")
			pattern = pattern[:i] + "*" + pattern[j+1:]
		}
		if ok, _ := path.Match(pattern, p); ok && op[0] == method {
			return op[1], true
		}
	}
	return "", false
}

func (c *contract) schema(pointer string) (*jsonschema.Schema, error) {
	if s := c.schemas[pointer]; s != nil {
		return s, nil
	}
	s, err := c.compiler.Compile("openapi.json" + pointer)
	c.schemas[pointer] = s
	return s, err
}

// check validates an answer: its status is described, its type is, and its body is
// of the schema.
func (c *contract) check(method, requested string, status int, header http.Header, body []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.statuses[status] = true
	keys := []string{"components", "responses", "Other"}
	if p, ok := c.find(method, requested); ok {
		keys = []string{"paths", p, strings.ToLower(method), "responses", strconv.Itoa(status)}
		if answer, _ := c.at(keys...); answer == nil {
			keys[4] = "default"
			if !slices.Contains([]int{402, 405, 406, 413, 429, 500, 503}, status) {
				return fmt.Errorf("%s %s may not answer %d", method, p, status)
			}
		}
	} else if status < 400 {
		return fmt.Errorf("%s %s is not in the contract and answered %d", method, requested, status)
	}
	media, _, _ := strings.Cut(header.Get("Content-Type"), ";")
	content, _ := c.at(append(keys, "content", media)...)
	if content == nil {
		return fmt.Errorf("%s %s answered %d with the type %q, which is not described", method, requested, status, media)
	}
	if _, has := content.(map[string]any)["schema"]; !has || media != "application/json" {
		return nil
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, requested, err)
	}
	_, pointer := c.at(append(keys, "content", media, "schema")...)
	s, err := c.schema(pointer)
	if err != nil {
		return err
	}
	if err := s.Validate(value); err != nil {
		return fmt.Errorf("%s %s: %w", method, requested, err)
	}
	return nil
}

// Each example in the contract is of its schema, and each operation says what it
// takes and answers.
func TestTheContractIsWhole(t *testing.T) {
	c := theContract(t)
	ids := map[string]string{}
	for _, op := range c.operations() {
		name, method := op[0]+" "+op[1], strings.ToLower(op[0])
		raw, _ := c.at("paths", op[1], method)
		o := raw.(map[string]any)
		id, _ := o["operationId"].(string)
		item := c.doc["paths"].(map[string]any)[op[1]].(map[string]any)
		if _, alias := item["$ref"]; !alias {
			if id == "" || o["summary"] == nil || o["tags"] == nil || ids[id] != "" {
				t.Errorf("%s: operationId %q (also of %q), summary %v, tags %v", name, id, ids[id], o["summary"], o["tags"])
			}
			ids[id] = name
		}
		answers, ok := o["responses"].(map[string]any)
		if !ok || answers["default"] == nil {
			t.Errorf("%s: no default answer", name)
		}
		if o["x-permission"] != nil && (answers["401"] == nil || answers["403"] == nil) {
			t.Errorf("%s: takes a permission and does not say 401 and 403", name)
		}
		body, _ := c.at("paths", op[1], method, "requestBody", "content")
		for media := range asMap(body) {
			content, pointer := c.at("paths", op[1], method, "requestBody", "content", media)
			example, has := content.(map[string]any)["example"]
			if media == "application/json" && !has {
				t.Errorf("%s: a JSON body without an example", name)
			}
			if !has {
				continue
			}
			s, err := c.schema(pointer + "/schema")
			if err == nil {
				err = s.Validate(example)
			}
			if err != nil {
				t.Errorf("%s: example: %v", name, err)
			}
		}
	}
	for name := range asMap(c.doc["components"].(map[string]any)["schemas"]) {
		if _, err := c.schema("#/components/schemas/" + name); err != nil {
			t.Errorf("schema %s: %v", name, err)
		}
	}
}

func asMap(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// The permissions in the contract are those that the server asks for.
func TestTheContractNamesThePermissions(t *testing.T) {
	c := theContract(t)
	b := newBox(t, store.Sandbox)
	takes := b.Takes()
	for _, op := range c.operations() {
		raw, _ := c.at("paths", op[1], strings.ToLower(op[0]))
		want, _ := raw.(map[string]any)["x-permission"].(string)
		if got := takes[op[0]+" "+op[1]]; string(got) != want {
			t.Errorf("%s %s takes %q, the contract says %q", op[0], op[1], got, want)
		}
		if want != "" && want != string(auth.Sync) && !slices.Contains(auth.All(), auth.Permission(want)) {
			t.Errorf("%s: no permission %s", op[1], want)
		}
	}
	scopes, _ := c.at("components", "schemas", "Scope", "enum")
	var listed []auth.Permission
	for _, s := range scopes.([]any) {
		listed = append(listed, auth.Permission(s.(string)))
	}
	if !slices.Equal(listed, auth.Scopes()) {
		t.Errorf("scopes %v, the contract says %v", auth.Scopes(), listed)
	}
}
