package client

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// contract is openapi.yaml as far as clients have to agree with it.
type contract struct {
	Paths      map[string]map[string]yaml.Node
	Components struct{ Schemas map[string]*schema }
}

// schema is what a client needs of a schema.
type schema struct {
	Ref        string `yaml:"$ref"`
	Type       string
	Required   []string
	Properties map[string]*schema
	Items      *schema
	AllOf      []*schema `yaml:"allOf"`
}

func readContract(t *testing.T) *contract {
	t.Helper()
	raw, err := os.ReadFile("../../internal/api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var c contract
	if err := yaml.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	return &c
}

// fields are the properties of a schema with those of its parts.
func (c *contract) fields(s *schema) (props map[string]*schema, required []string) {
	s = c.follow(s)
	props, required = maps.Clone(s.Properties), slices.Clone(s.Required)
	for _, part := range s.AllOf {
		more, also := c.fields(part)
		if props == nil {
			props = map[string]*schema{}
		}
		maps.Copy(props, more)
		required = append(required, also...)
	}
	return props, required
}

func (c *contract) follow(s *schema) *schema {
	for s != nil && s.Ref != "" {
		s = c.Components.Schemas[s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]]
	}
	return s
}

// operationsOf lists the operations of the contract by their ids; aliases are
// references and have none.
func (c *contract) operationsOf(t *testing.T) map[string][2]string {
	t.Helper()
	ops := map[string][2]string{}
	for path, item := range c.Paths {
		for method, node := range item {
			var op struct {
				OperationID string `yaml:"operationId"`
			}
			if node.Kind == yaml.MappingNode && node.Decode(&op) == nil && op.OperationID != "" {
				ops[op.OperationID] = [2]string{strings.ToUpper(method), path}
			}
		}
	}
	return ops
}

// elsewhere are the operations that clients call in another way, or not at all:
// links bring their own URL, streams go on, pages are for people, and what an
// operator does has the command line; joining and syncing is between boxes.
var elsewhere = []string{"uploadImage", "uploadImageForm", "events", "cameraStream", "health", "metrics", "openapi", "docs", "landing", "migration", "exchangeKey", "exportPeople", "fetchExport", "removeExport", "importPeople", "verifyPage", "resetPage", "invitationPage", "accountPage",
	"createSite", "listSites", "showSite", "changeSite", "createClaim", "listClaims", "deleteClaim", "listDevices", "showDevice", "revokeDevice",
	"joinChallenge", "join", "joinRotate", "joinLeave", "sync", "syncStatus", "syncNow", "adoptHeld"}

func TestEveryOperationIsThere(t *testing.T) {
	want := readContract(t).operationsOf(t)
	for _, id := range elsewhere {
		delete(want, id)
	}
	got := map[string][2]string{}
	for id, op := range operations {
		got[id] = [2]string{op.method, op.path}
	}
	if !maps.Equal(got, want) {
		t.Errorf("Go has %v\nthe contract %v", got, want)
	}
	source := read(t, "cypherface.js")
	script := map[string][2]string{}
	for _, m := range regexp.MustCompile(`(?m)^  (\w+): \["([A-Z]+)", "([^"]+)"\],$`).FindAllStringSubmatch(source, -1) {
		script[m[1]] = [2]string{m[2], m[3]}
	}
	if !maps.Equal(script, want) {
		t.Errorf("JavaScript has %v\nthe contract %v", script, want)
	}
	for id := range want {
		if !strings.Contains(source, "\n  "+id+"(") || !strings.Contains(source, `this.call("`+id+`"`) {
			t.Errorf("JavaScript has no method for %s", id)
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// The types in Go have exactly the fields of the schemas of their names.
func TestTypesAreThoseOfTheContract(t *testing.T) {
	c := readContract(t)
	for _, v := range []any{
		AccessToken{}, Account{}, Login{}, FactorDue{}, Factors{}, Passkey{}, FactorAdded{}, Invitation{}, KeyRequest{}, NewKey{}, KeyList{}, Key{}, UserFields{}, User{}, Upload{}, UploadedImage{}, Match{}, Detection{}, Scan{}, Face{}, BoundingBox{},
		NewSession{}, Frame{}, LivenessMatch{}, LivenessCheck{}, Session{}, VerificationPage{}, Verification{}, Identification{},
		ConsentText{}, ConsentTextPage{}, ConsentRequest{}, Actor{}, Consent{}, ConsentList{}, Withdrawn{}, PolicyRequest{},
		CredentialRequest{}, Credential{}, CredentialGiven{}, CredentialShown{}, CredentialVerdict{}, Retention{}, RetentionPreview{}, Review{}, ReviewPage{}, ReviewStatistics{}, MergeUsersRequest{}, UsersMerged{},
		Door{}, DoorPolicy{}, DoorRequest{}, DoorPolicyRequest{}, ScheduleWindow{}, GrantRequest{}, Grant{}, GrantPage{}, Bulk{}, BulkEntry{},
	} {
		typ := reflect.TypeOf(v)
		s := c.Components.Schemas[typ.Name()]
		if s == nil {
			t.Errorf("no schema %s", typ.Name())
			continue
		}
		c.compare(t, typ.Name(), typ, s)
	}
}

func (c *contract) compare(t *testing.T, name string, typ reflect.Type, s *schema) {
	t.Helper()
	s = c.follow(s)
	for typ.Kind() == reflect.Slice || typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
		if s.Items != nil {
			s = c.follow(s.Items)
		}
	}
	props, _ := c.fields(s)
	if typ.Kind() != reflect.Struct || len(props) == 0 {
		return
	}
	got := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(typ) {
		if f.Anonymous {
			continue
		}
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if tag == "" {
			tag = f.Name
		}
		got[tag] = f.Type
	}
	if have, want := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(props)); !slices.Equal(have, want) {
		t.Errorf("%s has %v\nthe contract %v", name, have, want)
	}
	for field, p := range props {
		if ft := got[field]; ft != nil && ft.String() != "time.Time" {
			c.compare(t, name+"."+field, ft, p)
		}
	}
}

// The types for JavaScript have the fields of the schemas, optional where they
// are, and a line for each method.
func TestTypesForJavaScript(t *testing.T) {
	c := readContract(t)
	types, source := read(t, "cypherface.d.ts"), read(t, "cypherface.js")
	interfaces := regexp.MustCompile(`(?ms)^export interface (\w+) \{\n(.*?)^\}`).FindAllStringSubmatch(types, -1)
	known := 0
	for _, m := range interfaces {
		s := c.Components.Schemas[strings.Replace(m[1], "ErrorBody", "Error", 1)]
		if s == nil {
			continue
		}
		known++
		props, required := c.fields(s)
		var have []string
		for _, f := range regexp.MustCompile(`(?m)^  "?([$\w]+)"?(\??):`).FindAllStringSubmatch(m[2], -1) {
			have = append(have, f[1])
			if (f[2] == "") != slices.Contains(required, f[1]) {
				t.Errorf("%s.%s: whether it is always there differs", m[1], f[1])
			}
		}
		slices.Sort(have)
		if want := slices.Sorted(maps.Keys(props)); !slices.Equal(have, want) {
			t.Errorf("%s has %v\nthe contract %v", m[1], have, want)
		}
	}
	if known < 20 {
		t.Errorf("only %d interfaces are of the contract", known)
	}
	class := source[strings.Index(source, "export class CypherFace {"):]
	for _, m := range regexp.MustCompile(`(?m)^  (?:async )?(\w+)\(.*\{`).FindAllStringSubmatch(class, -1) {
		if !strings.Contains(types, "\n  "+m[1]+"(") {
			t.Errorf("%s has no type", m[1])
		}
	}
}

// TestPinned: a certificate is trusted by its fingerprint alone.
func TestPinned(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"version":"1"}`) }))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of clients who do not trust it
	s.StartTLS()
	defer s.Close()
	sum := sha256.Sum256(s.Certificate().Raw)
	right := strings.ToUpper(hex.EncodeToString(sum[:]))
	for name, tt := range map[string]struct {
		fingerprint string
		ok          bool
	}{"right": {right, true}, "with colons": {right[:2] + ":" + right[2:], true}, "another": {strings.Repeat("00", 32), false}} {
		c := New(s.URL, "")
		var err error
		if c.HTTP, err = Pinned(tt.fingerprint); err != nil {
			t.Fatal(err)
		}
		if v, err := c.Version(t.Context()); (err == nil) != tt.ok || tt.ok && v.Version != "1" {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
	if _, err := Pinned("12"); err == nil {
		t.Error("a fingerprint that is none is taken")
	}
}
