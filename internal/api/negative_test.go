package api_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cypherface/edge/store"
)

var (
	negativeRequests = flag.Int("negative", 3000, "how many bad requests TestNegative makes from the contract")
	negativeSeed     = flag.Uint64("negative-seed", 1, "of its choices")
)

// A spoiler makes requests of the contract bad: each takes an operation that is
// well formed and spoils one thing of it, drawn from what the contract says of the
// field: its type, its bounds, its pattern, whether it has to be there.
type spoiler struct {
	c   *contract
	rng *rand.Rand
	ids objects
}

func pick[T any](s *spoiler, from []T) T { return from[s.rng.IntN(len(from))] }

// nasty are values that break what is not careful, whatever the type.
var nasty = []any{
	nil, true, 0, -1, 1e308, 1.5, int64(1) << 62, "", " ", "null", "\u0000", "a\nb", "\ufeff", "𝒳", strings.Repeat("a", 300), strings.Repeat("é", 9000),
	"../../../etc/passwd", "%00", "%2e%2e%2f", "' OR 1=1 --", "<script>", "${jndi:ldap://x}", "5F0C0FFEE0C0FFEE0C0FFEE0", "5f0c0ffee0c0ffee0c0ffee", "1b4e28ba-2fa1-1d3b-a3f5-0c0ffee0c0ff",
	[]any{}, []any{nil}, map[string]any{}, map[string]any{"$ne": 1}, []any{[]any{[]any{}}},
}

// body is a JSON body of an operation: its example, spoilt in one field.
func (s *spoiler) body(op [2]string) ([]byte, string) {
	content, _ := s.c.at("paths", op[1], strings.ToLower(op[0]), "requestBody", "content")
	if content == nil {
		return nil, ""
	}
	media := pick(s, slices.Sorted(maps.Keys(content.(map[string]any))))
	switch {
	case media == "application/json":
		return s.json(op), s.mediaType(media)
	case media == "multipart/form-data":
		return s.form(op)
	}
	return s.spoilBytes(jpegOf(red).data), s.mediaType(media)
}

// mediaType is mostly the right one.
func (s *spoiler) mediaType(right string) string {
	if s.rng.IntN(10) > 0 {
		return right
	}
	return pick(s, []string{"", "text/plain", "application/json; charset=utf-16", ";;", "multipart/form-data", "application/xml", "image/gif", strings.Repeat("x", 5000)})
}

func (s *spoiler) json(op [2]string) []byte {
	example, _ := s.c.at("paths", op[1], strings.ToLower(op[0]), "requestBody", "content", "application/json", "example")
	fields := map[string]any{}
	for name, v := range example.(map[string]any) {
		fields[name] = v
	}
	for _, name := range []string{"userId", "sessionId", "imageKey"} { // some that are there
		if _, has := fields[name]; has && s.rng.IntN(2) == 0 {
			fields[name] = map[string]string{"userId": s.ids.user, "sessionId": s.ids.session, "imageKey": s.ids.image}[name]
		}
	}
	names := append(s.properties(op), "extra", "__proto__", "")
	name := pick(s, names)
	switch s.rng.IntN(8) {
	case 0:
		delete(fields, name)
	case 1:
		b, _ := json.Marshal(fields)
		return s.spoilBytes(b)
	case 2: // the same key twice
		b, _ := json.Marshal(fields)
		v, _ := json.Marshal(pick(s, nasty))
		return append(append(b[:len(b)-1:len(b)-1], fmt.Sprintf(`,%q:%s`, name, v)...), '}')
	case 3:
		return []byte(strings.Repeat("[", s.rng.IntN(20_000)))
	default:
		fields[name] = pick(s, nasty)
	}
	b, err := json.Marshal(fields)
	if err != nil {
		return []byte("{")
	}
	return b
}

// properties names the fields of a JSON body.
func (s *spoiler) properties(op [2]string) (names []string) {
	for _, keys := range [][]string{{"properties"}, {"allOf", "0", "properties"}} {
		p, _ := s.c.at(append([]string{"paths", op[1], strings.ToLower(op[0]), "requestBody", "content", "application/json", "schema"}, keys...)...)
		names = append(names, slices.Sorted(maps.Keys(asMap(p)))...)
	}
	return names
}

// form is a multipart body with something wrong.
func (s *spoiler) form(op [2]string) ([]byte, string) {
	p, _ := s.c.at("paths", op[1], strings.ToLower(op[0]), "requestBody", "content", "multipart/form-data", "schema", "properties")
	var b bytes.Buffer
	const boundary = "bound"
	for _, name := range slices.Sorted(maps.Keys(asMap(p))) {
		value := s.ids.session
		if asMap(asMap(p)[name])["format"] == "binary" {
			value = string(jpegOf(red).data)
		}
		switch s.rng.IntN(6) {
		case 0:
			continue
		case 1:
			value = fmt.Sprint(pick(s, nasty))
		case 2:
			value = string(s.spoilBytes([]byte(value)))
		case 3:
			name = fmt.Sprint(pick(s, nasty))
		}
		fmt.Fprintf(&b, "--%s\r\nContent-Disposition: form-data; name=%q; filename=%q\r\nContent-Type: %s\r\n\r\n%s\r\n", boundary, name, fmt.Sprint(pick(s, nasty)), pick(s, []string{"image/jpeg", "image/png", "text/plain", ""}), value)
	}
	b.WriteString("--" + boundary + "--\r\n")
	raw := b.Bytes()
	if s.rng.IntN(5) == 0 {
		raw = s.spoilBytes(raw)
	}
	return raw, s.mediaType("multipart/form-data; boundary=" + pick(s, []string{boundary, boundary, boundary, "", `"`, strings.Repeat("b", 200)}))
}

// spoilBytes cuts, flips or repeats.
func (s *spoiler) spoilBytes(b []byte) []byte {
	b = bytes.Clone(b)
	if len(b) == 0 {
		return b
	}
	i := s.rng.IntN(len(b))
	switch s.rng.IntN(3) {
	case 0:
		return b[:i]
	case 1:
		b[i] ^= byte(1 + s.rng.IntN(255))
		return b
	}
	return append(b, b[i:]...)
}

// path fills in the parameters of a path, and a query of those that there are.
func (s *spoiler) path(op [2]string) string {
	p := op[1]
	for _, name := range []string{"userId", "sessionId", "keyId", "ticket", "textId", "erasureId", "credentialId", "reviewId", "verificationId", "accountId", "invitationId", "doorId"} {
		value := map[string]string{
			"userId": s.ids.user, "sessionId": s.ids.session, "keyId": s.ids.key, "ticket": "1b4e28ba-2fa1-4d3b-a3f5-0c0ffee0c0ff",
			"textId": s.ids.text, "erasureId": s.ids.erasure, "credentialId": s.ids.credential, "reviewId": s.ids.review, "verificationId": s.ids.decision,
			"accountId": s.ids.account, "invitationId": s.ids.invitation, "doorId": s.ids.door,
		}[name]
		if s.rng.IntN(2) == 0 {
			value = escape(fmt.Sprint(pick(s, nasty)))
		}
		p = strings.ReplaceAll(p, "{"+name+"}", value)
	}
	params, _ := s.c.at("paths", op[1], strings.ToLower(op[0]), "parameters")
	list, _ := params.([]any)
	var query []string
	for i := range list {
		param, _ := s.c.at("paths", op[1], strings.ToLower(op[0]), "parameters", fmt.Sprint(i))
		if m := asMap(param); m["in"] == "query" && s.rng.IntN(2) == 0 {
			query = append(query, fmt.Sprintf("%s=%s", m["name"], escape(fmt.Sprint(pick(s, nasty)))))
		}
	}
	return pick(s, []string{"", "/api"}) + p + pick(s, []string{"", "/"}) + "?" + strings.Join(query, "&")
}

// escape makes anything part of a URL.
func escape(v string) string {
	var b strings.Builder
	for _, c := range []byte(v) {
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

// request is one bad request.
func (s *spoiler) request(op [2]string, credentials []string) *http.Request {
	b, media := s.body(op)
	r := httptest.NewRequest(op[0], "/", bytes.NewReader(b))
	target := s.path(op)
	if u, err := r.URL.Parse(target); err == nil {
		r.URL, r.RequestURI = u, target
	}
	if media != "" {
		r.Header.Set("Content-Type", media)
	}
	r.Header["Authorization"] = []string{pick(s, credentials)}
	if s.rng.IntN(10) == 0 {
		r.Header["Authorization"] = []string{fmt.Sprint(pick(s, nasty)), "x"}
	}
	if s.rng.IntN(10) == 0 {
		r.Header.Set("Accept", pick(s, []string{"text/html", "image/*", ";", "*/*;q=0"}))
	}
	for _, h := range []string{"merchantId", "x-api-key"} {
		if s.rng.IntN(3) > 0 {
			r.Header.Set(h, strings.ReplaceAll(fmt.Sprint(pick(s, nasty)), "\n", " "))
		}
	}
	return r
}

// Whatever is wrong with a request, the answer is one of the contract, and never
// that the fault is ours. make negative asks 100,000 times.
func TestNegative(t *testing.T) {
	b := newBox(t, store.Sandbox)
	s := &spoiler{c: theContract(t), rng: rand.New(rand.NewPCG(*negativeSeed, 7)), ids: b.belongings()}
	b.faces.sees = red
	server := b.Public()
	owner, token := b.login(), b.want(b.accessToken(b.merchant, b.apiKey), 200).text("token")
	credentials := []string{owner, owner, "Bearer " + b.apiKey, token, "", "Bearer", "Bearer x.y.z"}
	ops := slices.DeleteFunc(s.c.operations(), func(op [2]string) bool { return op[1] == "/events" || op[1] == "/camera/stream" }) // streams
	statuses := map[int]int{}
	for n := range *negativeRequests {
		op := ops[n%len(ops)]
		held := credentials
		if op[1] == "/refresh-token" { // takes away what the others need
			held = []string{"", "Bearer", "Bearer x.y.z", "Bearer " + b.apiKey, token[:len(token)-3]}
		}
		r := s.request(op, held)
		sent := fmt.Sprintf("request %d: %s %s", n, r.Method, r.RequestURI)
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		statuses[w.Code]++
		if w.Code >= 500 && w.Code != 503 || w.Header().Get("X-Request-Id") == "" {
			t.Fatalf("%s: status %d: %s", sent, w.Code, w.Body)
		}
		if w.Code >= 400 { // good ones are validated elsewhere, with what they were asked
			method, path := "GET", "/not/there"
			if strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") { // what pages send is answered by pages
				method, path = op[0], op[1]
			}
			if err := s.c.check(method, path, w.Code, w.Header(), w.Body.Bytes()); err != nil {
				t.Fatalf("%s: %v", sent, err)
			}
		}
		if n%500 == 0 { // what was deleted, revoked or made on the way
			b.revokeOthers()
			credentials[0], credentials[1] = b.login(), b.login()
			s.ids.user, s.ids.door = b.registerAs(fmt.Sprint("u", n)), b.newDoor(`{"name":"Front"}`)
			s.ids.key = b.want(b.callAs(credentials[0], "POST", "/merchant-api-key/", nil), 201).text("keyId")
		}
	}
	t.Logf("%d requests: %v", *negativeRequests, statuses)
	if statuses[400] == 0 || statuses[401] == 0 || statuses[404] == 0 || statuses[406] == 0 || statuses[200] == 0 {
		t.Errorf("the requests are not what they should be: %v", statuses)
	}
}

// revokeOthers leaves the merchant the key it had first.
func (b *box) revokeOthers() {
	b.t.Helper()
	b.update(func(tx *store.Tx) error {
		var others []store.KeyID
		var first store.Key
		for k, err := range store.All(tx, store.KeysByMerchant, store.Plain(b.merchant)) {
			if err != nil {
				return err
			}
			if k.Name != "first" {
				others = append(others, k.ID)
			} else {
				first = k
			}
		}
		first.Expires = time.Time{} // if it was rotated
		if err := store.Put(tx, &first); err != nil {
			return err
		}
		for _, id := range others {
			if err := b.auth.RevokeKey(tx, b.merchant, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// registerAs makes a user whom nobody has deleted yet.
func (b *box) registerAs(name string) string {
	b.t.Helper()
	return b.want(b.callAs(b.login(), "POST", "/register/", fmt.Sprintf(`{"firstname":%q,"lastname":"Test","email":"%s@example.org"}`, name, name)), 201).text("userId")
}
