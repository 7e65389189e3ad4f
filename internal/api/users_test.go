package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/store"
)

func TestRegisterShowChangeDelete(t *testing.T) {
	b := newBox(t, store.Sandbox)
	a := b.want(b.call("POST", "/register/", `{"firstname":" Ada ","lastname":"Lovelace","email":"ada@example.org","phone":"+44 20","externalId":"e-1","password":"correct horse"}`), 201)
	id := a.text("userId")
	golden(t, b, "register.json", a)

	golden(t, b, "user.json", b.want(b.call("GET", "/api/users/"+id+"/", nil), 200))
	changed := b.want(b.call("PUT", "/users/"+id, `{"lastname":"King","phone":""}`), 200)
	user := changed.body["user"].(map[string]any)
	if user["lastname"] != "King" || user["firstname"] != "Ada" || user["phone"] != nil || user["externalId"] != "e-1" {
		t.Errorf("after the change: %v", user)
	}
	if strings.Contains(changed.raw, "argon2") || strings.Contains(changed.raw, "horse") {
		t.Errorf("the password shows: %s", changed.raw)
	}
	golden(t, b, "delete.json", b.want(b.call("DELETE", "/users/"+id+"/", nil), 200))
	for _, method := range []string{"GET", "DELETE"} {
		b.want(b.call(method, "/users/"+id+"/", nil), 404)
	}
	b.want(b.call("PUT", "/users/"+id+"/", `{"lastname":"King"}`), 404)
}

func TestRegisterRefuses(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.register("Ada")
	user := func(s string) string {
		return `{"firstname":"A","lastname":"B","email":"new@example.org"` + s + `}`
	}
	tests := []struct {
		name, body string
		status     int
		field      string
	}{
		{"nothing", `{}`, 400, "firstname"},
		{"blank name", `{"firstname":"  ","lastname":"B","email":"a@b.c"}`, 400, "firstname"},
		{"no e-mail", `{"firstname":"A","lastname":"B"}`, 400, "email"},
		{"bad e-mail", `{"firstname":"A","lastname":"B","email":"Ada <a@b.c>"}`, 400, "email"},
		{"e-mail without a host", `{"firstname":"A","lastname":"B","email":"ada"}`, 400, "email"},
		{"phone", user(`,"phone":"call me"`), 400, "phone"},
		{"long name", `{"firstname":"` + strings.Repeat("a", 101) + `","lastname":"B","email":"a@b.c"}`, 400, "firstname"},
		{"control character", `{"firstname":"A\u0007","lastname":"B","email":"a@b.c"}`, 400, "firstname"},
		{"short password", user(`,"password":"1234567"`), 400, "password"},
		{"unknown field", user(`,"isAdmin":true`), 400, "isAdmin"},
		{"number for a name", `{"firstname":7}`, 400, "firstname"},
		{"not JSON", `{"firstname"`, 400, ""},
		{"taken e-mail", `{"firstname":"A","lastname":"B","email":"ADA@example.org"}`, 409, "email"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := b.want(b.call("POST", "/user/register", tt.body), tt.status)
			if tt.field != "" && !strings.Contains(a.raw, fmt.Sprintf(`{"field":%q`, tt.field)) {
				t.Errorf("details of %s", a.raw)
			}
		})
	}
}

func TestTwoUsersWithOneExternalID(t *testing.T) {
	b := newBox(t, store.Sandbox)
	body := `{"firstname":"A","lastname":"B","email":"%d@example.org","externalId":"x"}`
	b.want(b.call("POST", "/register/", fmt.Sprintf(body, 1)), 201)
	if a := b.want(b.call("POST", "/register/", fmt.Sprintf(body, 2)), 409); !strings.Contains(a.raw, "externalId") {
		t.Error(a.raw)
	}
}

func TestListUsers(t *testing.T) {
	b := newBox(t, store.Sandbox)
	names := []string{"Ada", "Bea", "Cid", "Dan", "Eve"}
	for _, name := range names {
		b.register(name)
	}
	list := func(query string) (got []string, next string) {
		t.Helper()
		a := b.want(b.call("GET", "/users/?"+query, nil), 200)
		for _, u := range a.body["users"].([]any) {
			got = append(got, u.(map[string]any)["firstname"].(string))
		}
		return got, a.text("nextCursor")
	}
	for query, want := range map[string]string{
		"":                            "Ada Bea Cid Dan Eve",
		"limit=2&page=2":              "Cid Dan",
		"limit=2&page=9":              "",
		"search=CID":                  "Cid",
		"search=eve@example":          "Eve",
		"search=ada+test":             "Ada",
		"status=enrolled":             "",
		"status=registered&limit=100": "Ada Bea Cid Dan Eve",
	} {
		if got, _ := list(query); strings.Join(got, " ") != want {
			t.Errorf("%q: %v", query, got)
		}
	}
	var all []string
	for query, rounds := "limit=2", 0; ; rounds++ {
		got, next := list(query)
		all = append(all, got...)
		if next == "" {
			break
		}
		query = "limit=2&cursor=" + next
		if rounds > 3 {
			t.Fatal("the cursor goes in a circle")
		}
	}
	if strings.Join(all, " ") != strings.Join(names, " ") {
		t.Errorf("by cursor: %v", all)
	}
}

func TestListUsersRefuses(t *testing.T) {
	b := newBox(t, store.Sandbox)
	for _, query := range []string{"limit=0", "limit=101", "limit=x", "page=0", "page=101&limit=100", "page=1&cursor=a", "status=dead", "order=asc", "cursor=!!"} {
		b.want(b.call("GET", "/users/?"+query, nil), 400)
	}
}

func TestAnotherMerchantsUsersAreNotThere(t *testing.T) {
	b := newBox(t, store.Sandbox)
	id := b.register("Ada")
	_, other := b.newMerchant("Other", auth.Scopes()...)
	as := func(method, path string, body any) answer { return b.callAs("Bearer "+other, method, path, body) }
	b.want(as("GET", "/users/"+id, nil), 404)
	b.want(as("PUT", "/users/"+id, `{"lastname":"X"}`), 404)
	b.want(as("DELETE", "/users/"+id, nil), 404)
	b.want(as("POST", "/face/match", `{"userId":"`+id+`"}`), 404)
	b.want(as("POST", "/upload/generate-url", `{"userId":"`+id+`","imageName":"a","contentType":"image/png","type":"match"}`), 404)
	if a := b.want(as("GET", "/users", nil), 200); len(a.body["users"].([]any)) != 0 {
		t.Errorf("listed: %s", a.raw)
	}
	b.want(b.call("GET", "/users/"+id, nil), 200)
}

// Every operation takes its permission, by a key with all the others.
func TestEachOperationTakesItsPermission(t *testing.T) {
	b := newBox(t, store.Sandbox)
	id := b.register("Ada")
	without := func(p auth.Permission) string {
		var rest []auth.Permission
		for _, q := range auth.All() {
			if q != p {
				rest = append(rest, q)
			}
		}
		_, apiKey := b.newMerchant("without "+string(p), rest...)
		return "Bearer " + apiKey
	}
	link := func(kind string) string {
		return `{"userId":"` + id + `","imageName":"a","contentType":"image/png","type":"` + kind + `"}`
	}
	for _, tt := range []struct {
		takes        auth.Permission
		method, path string
		body         any
	}{
		{auth.UsersWrite, "POST", "/register", `{}`},
		{auth.UsersRead, "GET", "/users", nil},
		{auth.UsersRead, "GET", "/users/" + id, nil},
		{auth.UsersWrite, "PUT", "/users/" + id, `{}`},
		{auth.UsersWrite, "DELETE", "/users/" + id, nil},
		{auth.Match, "POST", "/upload/generate-url", link("match")},
		{auth.Enrol, "POST", "/upload/generate-url", link("upload")},
		{auth.Match, "POST", "/face/match", `{}`},
		{auth.Detect, "POST", "/face/detect", `{}`},
		{auth.Identify, "POST", "/identify", `{}`},
		{auth.EventsRead, "GET", "/events", nil},
		{auth.UsersRead, "GET", "/users?names=1", nil},
	} {
		if a := b.callAs(without(tt.takes), tt.method, tt.path, tt.body); a.status != http.StatusForbidden {
			t.Errorf("%s %s without %s: status %d", tt.method, tt.path, tt.takes, a.status)
		}
		if a := b.callAs("", tt.method, tt.path, tt.body); a.status != http.StatusUnauthorized && tt.path != "/events" {
			t.Errorf("%s %s without a credential: status %d", tt.method, tt.path, a.status)
		}
	}
}
