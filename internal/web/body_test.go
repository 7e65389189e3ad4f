package web_test

import (
	"bytes"
	"errors"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cypherface/edge/internal/web"
)

func post(body, contentType string) *http.Request {
	r := httptest.NewRequest("POST", "/", strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return r
}

// failure returns the *web.Error in err and fails the test if there is none.
func failure(t *testing.T, err error) *web.Error {
	t.Helper()
	var e *web.Error
	if !errors.As(err, &e) {
		t.Fatalf("no *web.Error: %v", err)
	}
	return e
}

func TestDecode(t *testing.T) {
	type in struct {
		Name string `json:"name"`
		Age  int    `json:"age"`
	}
	tests := []struct {
		name, body, contentType string
		strict                  bool
		status                  int // 0: it works
		field                   string
	}{
		{"object", `{"name":"a","age":3}`, "application/json", true, 0, ""},
		{"charset", `{}`, "Application/JSON; charset=utf-8", true, 0, ""},
		{"no type", `{"name":"a"}`, "", true, 0, ""},
		{"unknown key, lenient", `{"extra":1}`, "application/json", false, 0, ""},
		{"unknown key, strict", `{"extra":1}`, "application/json", true, 400, "extra"},
		{"mistyped", `{"age":"three"}`, "application/json", false, 400, "age"},
		{"fraction", `{"age":1.5}`, "application/json", false, 400, "age"},
		{"null", `null`, "application/json", false, 400, ""},
		{"array", `[]`, "application/json", false, 400, ""},
		{"two", `{} {}`, "application/json", false, 400, ""},
		{"trailing", `{}x`, "application/json", false, 400, ""},
		{"cut", `{"name":`, "application/json", false, 400, ""},
		{"empty", ``, "application/json", false, 400, ""},
		{"form", `a=b`, "application/x-www-form-urlencoded", false, 406, ""},
		{"bad type", `{}`, ";;", false, 406, ""},
		{"deep", strings.Repeat(`{"a":`, 20000), "application/json", false, 400, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			decode := web.Decode
			if tt.strict {
				decode = web.DecodeStrict
			}
			var v in
			err := decode(post(tt.body, tt.contentType), &v, 1<<20)
			if tt.status == 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			e := failure(t, err)
			if e.Status != tt.status {
				t.Errorf("status %d: %v", e.Status, e)
			}
			if tt.field != "" && (len(e.Details) != 1 || e.Details[0].Field != tt.field) {
				t.Errorf("details %v", e.Details)
			}
		})
	}
}

func TestDecodeStopsAtTheLimit(t *testing.T) {
	for _, body := range []string{`{"name":"` + strings.Repeat("a", 100) + `"}`, `{}` + strings.Repeat(" ", 100)} {
		var tooLarge *http.MaxBytesError
		if err := web.Decode(post(body, ""), &struct{}{}, 50); !errors.As(err, &tooLarge) {
			t.Errorf("%.20q: %v", body, err)
		}
	}
}

func TestAccepts(t *testing.T) {
	for header, want := range map[string]bool{
		"": true, "*/*": true, "application/json": true, "application/*;q=0.1": true,
		"text/html, application/json;q=0.9": true, "text/html": false, "image/*": false, ";": false,
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept", header)
		if got := web.Accepts(r, "application/json"); got != want {
			t.Errorf("Accept %q: %v", header, got)
		}
	}
}

// multi builds a multipart body of name=value parts; a name with @ is a file.
func multi(t *testing.T, parts ...string) *http.Request {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, p := range parts {
		name, value, _ := strings.Cut(p, "=")
		file, isFile := strings.CutPrefix(name, "@")
		part, err := w.CreateFormField(name)
		if isFile {
			part, err = w.CreateFormFile(file, "../../etc/passwd")
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := part.Write([]byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return post(b.String(), w.FormDataContentType())
}

func TestReadForm(t *testing.T) {
	for _, order := range [][]string{{"id=7", "@image=JPEG"}, {"@image=JPEG", "id=7"}} {
		form, err := web.ReadForm(multi(t, order...), "image", 100, 1)
		if err != nil {
			t.Fatal(err)
		}
		if string(form.Files[0].Data) != "JPEG" || form.Fields["id"] != "7" || form.Files[0].Type != "application/octet-stream" {
			t.Errorf("%v: %+v", order, form)
		}
	}
}

func TestReadFormRefuses(t *testing.T) {
	many := make([]string, 20)
	for i := range many {
		many[i] = "a=1"
	}
	tests := []struct {
		name   string
		r      *http.Request
		status int
	}{
		{"not multipart", post("{}", "application/json"), 400},
		{"no boundary", post("x", "multipart/form-data"), 400},
		{"cut", post("--b\r\nContent-Disposition: form-data; name=\"image\"\r\n\r\nabc", "multipart/form-data; boundary=b"), 400},
		{"no file", multi(t, "id=7"), 400},
		{"two files", multi(t, "@image=a", "@image=b"), 400},
		{"too many parts", multi(t, many...), 400},
		{"file too large", multi(t, "@image="+strings.Repeat("a", 101)), 413},
		{"field too large", multi(t, "@image=a", "id="+strings.Repeat("a", 5000)), 413},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := web.ReadForm(tt.r, "image", 100, 1)
			if e := failure(t, err); e.Status != tt.status {
				t.Errorf("status %d: %v", e.Status, e)
			}
		})
	}
}

func TestReadBody(t *testing.T) {
	if b, err := web.ReadBody(post("12345", ""), 5); err != nil || string(b) != "12345" {
		t.Errorf("%q, %v", b, err)
	}
	var tooLarge *http.MaxBytesError
	if _, err := web.ReadBody(post("123456", ""), 5); !errors.As(err, &tooLarge) {
		t.Errorf("got %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{"name":"a","list":[1,2]}`, `{}`, `null`, `{"name":1}`, `{"x":{}}`, `{} {}`, "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		var v struct {
			Name string `json:"name"`
			List []int  `json:"list"`
		}
		if err := web.DecodeStrict(post(body, "application/json"), &v, 1000); err != nil {
			var tooLarge *http.MaxBytesError
			if !errors.As(err, &tooLarge) && failure(t, err).Status >= 500 {
				t.Errorf("%q: %v", body, err)
			}
		}
	})
}

func FuzzReadForm(f *testing.F) {
	f.Add("--b\r\nContent-Disposition: form-data; name=\"image\"; filename=\"a\"\r\n\r\nabc\r\n--b--\r\n", "multipart/form-data; boundary=b")
	f.Add("--b--", "multipart/form-data; boundary=b")
	f.Add("", "multipart/mixed; boundary=\"\"")
	f.Fuzz(func(t *testing.T, body, contentType string) {
		form, err := web.ReadForm(post(body, contentType), "image", 1000, 1)
		if err == nil && len(form.Files[0].Data) > 1000 {
			t.Errorf("%d bytes of file", len(form.Files[0].Data))
		}
		var tooLarge *http.MaxBytesError
		if err != nil && !errors.As(err, &tooLarge) && failure(t, err).Status >= 500 {
			t.Errorf("%v", err)
		}
	})
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{"/api/users/7/", "//", "/api", "/users/%2f", "/users/..;/", "/users/\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		r := httptest.NewRequest("POST", "/", nil)
		r.URL.Path = path
		ok := func(w http.ResponseWriter, _ *http.Request) error { return web.Write(w, 200, 1) }
		resp := serve(t, map[string]web.Handler{"POST /users/{id}": ok, "POST /{$}": ok}, r)
		if resp.StatusCode != 200 && resp.StatusCode != 404 {
			t.Errorf("%q: status %d", path, resp.StatusCode)
		}
	})
}
