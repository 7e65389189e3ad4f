package api

import (
	"bytes"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

//go:embed docs.html
var docsSource string

var docsPage = template.Must(template.New("docs").Funcs(template.FuncMap{"prose": prose}).Parse(docsSource))

// docs is GET /docs/: openapi.yaml as a page that needs nothing from outside, not
// even a script.
func (a *API) docs(c *call) error {
	doc, err := readDocument()
	if err != nil {
		return err
	}
	nonce := rand.Text()
	var b bytes.Buffer
	err = docsPage.Execute(&b, struct {
		*document
		Environment, URL, Nonce string
	}{doc, string(a.info.Environment), a.base(c.r), nonce})
	if err != nil {
		return err
	}
	return writePage(c.w, b.Bytes(), nonce)
}

// writePage answers with HTML whose styles carry a nonce; more is what its policy
// allows besides.
func writePage(w http.ResponseWriter, html []byte, nonce string, more ...string) error {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	policy := []string{"default-src 'none'", "style-src 'nonce-" + nonce + "'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"}
	h.Set("Content-Security-Policy", strings.Join(append(policy, more...), "; "))
	_, err := w.Write(html)
	return err
}

// A document is openapi.yaml as the page shows it.
type document struct {
	Title, Description string
	Groups             []docGroup
	Schemas            []docSchema
}

type docGroup struct {
	Name, Description string
	Operations        []docOperation
}

type docOperation struct {
	ID, Method, Path, Summary, Description, Permission string
	Aliases                                            []string
	Parameters, Body                                   []docField
	BodyTypes                                          []string
	Example                                            string
	Responses                                          []docResponse
}

type docResponse struct{ Status, Description, Types, Schema string }

type docSchema struct {
	Name, Description, Type string
	Fields                  []docField
}

// docField is a line of a table: a parameter, or a field of a body.
type docField struct {
	Name, In, Type, Description string
	Required                    bool
	Ref                         string // name of the schema it links to
}

var readDocument = sync.OnceValues(func() (*document, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(openAPI, &root); err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	r := &docReader{root: root.Content[0]}
	return r.document(), nil
})

// docReader walks the document in the order of the file.
type docReader struct{ root *yaml.Node }

// get follows keys down, and references on the way; nil where there is nothing.
func (r *docReader) get(n *yaml.Node, keys ...string) *yaml.Node {
	n = r.follow(n)
	for _, k := range keys {
		var found *yaml.Node
		for key, v := range pairs(n) {
			if key == k {
				found = v
			}
		}
		if found == nil {
			return nil
		}
		n = r.follow(found)
	}
	return n
}

// follow resolves a reference within the document.
func (r *docReader) follow(n *yaml.Node) *yaml.Node {
	ref, ok := strings.CutPrefix(reference(n), "#/")
	if !ok {
		return n
	}
	at := r.root
	for part := range strings.SplitSeq(ref, "/") {
		at = r.get(at, strings.ReplaceAll(part, "~1", "/"))
	}
	return at
}

// reference is the $ref of a node.
func reference(n *yaml.Node) string {
	for key, v := range pairs(n) {
		if key == "$ref" {
			return v.Value
		}
	}
	return ""
}

// pairs runs over a mapping.
func pairs(n *yaml.Node) func(func(string, *yaml.Node) bool) {
	return func(yield func(string, *yaml.Node) bool) {
		if n == nil || n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i].Value, n.Content[i+1]) {
				return
			}
		}
	}
}

func (r *docReader) text(n *yaml.Node, keys ...string) string {
	if v := r.get(n, keys...); v != nil && v.Kind == yaml.ScalarNode {
		return v.Value
	}
	return ""
}

func (r *docReader) document() *document {
	d := &document{Title: r.text(r.root, "info", "title"), Description: r.text(r.root, "info", "description")}
	for _, tag := range r.get(r.root, "tags").Content {
		d.Groups = append(d.Groups, docGroup{Name: r.text(tag, "name"), Description: r.text(tag, "description")})
	}
	aliases := map[string][]string{}
	for path, item := range pairs(r.get(r.root, "paths")) {
		if to, ok := strings.CutPrefix(reference(item), "#/paths/"); ok {
			to = strings.ReplaceAll(to, "~1", "/")
			aliases[to] = append(aliases[to], path)
		}
	}
	for path, item := range pairs(r.get(r.root, "paths")) {
		if reference(item) != "" {
			continue
		}
		for method, op := range pairs(item) {
			if method == "parameters" {
				continue
			}
			o := r.operation(path, method, op, r.get(item, "parameters"))
			o.Aliases = aliases[path]
			i := slices.IndexFunc(d.Groups, func(g docGroup) bool { return g.Name == r.get(op, "tags").Content[0].Value })
			d.Groups[i].Operations = append(d.Groups[i].Operations, o)
		}
	}
	for name, s := range pairs(r.get(r.root, "components", "schemas")) {
		d.Schemas = append(d.Schemas, docSchema{name, r.text(s, "description"), r.typeOf(s), r.fields(s, "")})
	}
	return d
}

func (r *docReader) operation(path, method string, op, shared *yaml.Node) docOperation {
	o := docOperation{
		ID: r.text(op, "operationId"), Method: strings.ToUpper(method), Path: path, Summary: r.text(op, "summary"),
		Description: r.text(op, "description"), Permission: r.text(op, "x-permission"),
	}
	for _, list := range []*yaml.Node{shared, r.get(op, "parameters")} {
		if list == nil {
			continue
		}
		for _, p := range list.Content {
			schema := r.get(p, "schema")
			description := r.text(p, "description")
			if description == "" {
				description = r.text(schema, "description")
			}
			o.Parameters = append(o.Parameters, docField{
				Name: r.text(p, "name"), In: r.text(p, "in"), Type: r.typeOf(schema), Description: description, Required: r.text(p, "required") == "true",
			})
		}
	}
	for media, content := range pairs(r.get(op, "requestBody", "content")) {
		o.BodyTypes = append(o.BodyTypes, media)
		if fields := r.fields(r.get(content, "schema"), ""); len(fields) > 0 {
			for i := range fields {
				fields[i].In = media
			}
			o.Body = append(o.Body, fields...)
		}
		if e := r.get(content, "example"); e != nil {
			o.Example = example(e)
		}
	}
	for status, answer := range pairs(r.get(op, "responses")) {
		o.Responses = append(o.Responses, r.response(status, answer))
	}
	slices.SortStableFunc(o.Responses, func(a, b docResponse) int { return strings.Compare(a.Status, b.Status) })
	return o
}

func (r *docReader) response(status string, answer *yaml.Node) docResponse {
	d := docResponse{Status: status, Description: r.text(answer, "description")}
	if status == "default" {
		d.Status = "others"
	}
	var media []string
	for m, content := range pairs(r.get(answer, "content")) {
		media = append(media, m)
		for key, s := range pairs(content) {
			if key == "schema" {
				d.Schema = strings.TrimPrefix(reference(s), "#/components/schemas/")
			}
		}
	}
	d.Types = strings.Join(media, ", ")
	return d
}

// fields are the properties of a schema, those of its parts too.
func (r *docReader) fields(s *yaml.Node, prefix string) (list []docField) {
	s = r.follow(s)
	if all := r.get(s, "allOf"); all != nil {
		for _, part := range all.Content {
			list = append(list, r.fields(part, prefix)...)
		}
	}
	required := map[string]bool{}
	if names := r.get(s, "required"); names != nil {
		for _, n := range names.Content {
			required[n.Value] = true
		}
	}
	for name, p := range pairs(r.get(s, "properties")) {
		ref, _ := strings.CutPrefix(reference(p), "#/components/schemas/")
		description := ""
		for key, v := range pairs(p) {
			if key == "description" {
				description = v.Value // beside a reference it goes first
			}
		}
		if description == "" {
			description = r.text(p, "description")
		}
		list = append(list, docField{Name: prefix + name, Type: r.typeOf(p), Description: description, Required: required[name], Ref: ref})
		if ref == "" {
			list = append(list, r.fields(p, prefix+name+".")...)
		}
	}
	if items := r.get(s, "items"); items != nil && r.get(s, "items", "properties") != nil && prefix != "" {
		list = append(list, r.fields(items, strings.TrimSuffix(prefix, ".")+"[].")...)
	}
	return list
}

// typeOf puts a schema into a few words.
func (r *docReader) typeOf(s *yaml.Node) string {
	s = r.follow(s)
	if s == nil {
		return ""
	}
	if e := r.get(s, "enum"); e != nil {
		var words []string
		for _, v := range e.Content {
			words = append(words, v.Value)
		}
		return strings.Join(words, " | ")
	}
	if c := r.get(s, "const"); c != nil {
		return c.Value
	}
	t := r.text(s, "type")
	if t == "array" {
		return "list of " + r.typeOf(r.get(s, "items"))
	}
	for _, key := range []string{"oneOf", "anyOf"} {
		if list := r.get(s, key); list != nil && t == "" {
			var words []string
			for _, v := range list.Content {
				words = append(words, r.typeOf(v))
			}
			return strings.Join(words, " or ")
		}
	}
	if f := r.text(s, "format"); f != "" {
		t += " (" + f + ")"
	}
	low, high := r.text(s, "minimum"), r.text(s, "maximum")
	switch {
	case low != "" && high != "":
		t += " " + low + "…" + high
	case low != "":
		t += " from " + low
	}
	if most := r.text(s, "maxLength"); most != "" {
		t += ", up to " + most + " characters"
	}
	return t
}

// example is a value as indented JSON.
func example(n *yaml.Node) string {
	var v any
	if n.Decode(&v) != nil {
		return ""
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return ""
	}
	return string(b)
}

// prose shows text of the document: an empty line begins a paragraph, and what
// stands between backquotes is code.
func prose(s string) template.HTML {
	var b strings.Builder
	for paragraph := range strings.SplitSeq(strings.TrimSpace(s), "\n\n") {
		b.WriteString("<p>")
		for i, part := range strings.Split(paragraph, "`") {
			if i%2 == 1 {
				b.WriteString("<code>" + template.HTMLEscapeString(part) + "</code>")
			} else {
				b.WriteString(template.HTMLEscapeString(part))
			}
		}
		b.WriteString("</p>")
	}
	return template.HTML(b.String())
}
