package api_test

import (
	"bytes"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cypherface/edge/store"
)

// Whatever the body and its type, an operation answers with a status of the
// contract, and none that says the fault is ours.
func FuzzBodies(f *testing.F) {
	b := newBox(f, store.Sandbox)
	server := b.Public()
	paths := []string{"/register", "/users/5f0c0ffee0c0ffee0c0ffee0", "/upload/generate-url", "/face/match", "/face/detect", "/identify", "/access-token", "/upload/x"}
	picture := form("image", jpegOf(red))
	for i := range paths {
		f.Add(uint8(i), `{"firstname":"A","lastname":"B","email":"a@b.c","password":"12345678"}`, "application/json")
		f.Add(uint8(i), `{"userId":"5f0c0ffee0c0ffee0c0ffee0","imageName":"a","contentType":"image/png","type":"match"}`, "")
		f.Add(uint8(i), string(picture.data), picture.contentType)
		f.Add(uint8(i), `{"imageData":"data:;base64,/9j/4AAQ"}`, "application/json; charset=x")
		f.Add(uint8(i), `{"source":"camera"}`, "text/plain")
	}
	f.Fuzz(func(t *testing.T, i uint8, body, contentType string) {
		path := paths[int(i)%len(paths)]
		method := "POST"
		if strings.HasPrefix(path, "/users/") {
			method = "PUT"
		}
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("Authorization", "Bearer "+b.apiKey)
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Errorf("%s: status %d: %s", path, w.Code, w.Body)
		}
	})
}

// Whatever stands in a query, a listing answers with a page or 400.
func FuzzQueries(f *testing.F) {
	b := newBox(f, store.Sandbox)
	server := b.Public()
	for _, q := range []string{"limit=1&page=2", "cursor=AAAA", "from=2026-05-01T12:00:00Z&to=2300-01-01T00:00:00Z", "userId=5f0c0ffee0c0ffee0c0ffee0", "search=%00&status=enrolled", "%zz", "page=9223372036854775807&limit=100", ";"} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, query string) {
		for _, path := range []string{"/users", "/verifications"} {
			r := httptest.NewRequest("GET", path, nil)
			r.URL.RawQuery = query
			r.Header.Set("Authorization", "Bearer "+b.apiKey)
			w := httptest.NewRecorder()
			server.ServeHTTP(w, r)
			if w.Code != 200 && w.Code != 400 {
				t.Errorf("%s?%s: status %d: %s", path, query, w.Code, w.Body)
			}
		}
	})
}

// No upload link but one that was given out is taken.
func FuzzUploadLink(f *testing.F) {
	b := newBox(f, store.Sandbox)
	server := b.Public()
	good := b.want(b.link(b.register("Ada"), "match"), 200).text("url")
	at, query, _ := strings.Cut(good[strings.Index(good, "/upload/")+len("/upload/"):], "?")
	f.Add(at, query)
	f.Add(at, "expires=1&signature=")
	f.Add("1b4e28ba-2fa1-4d3b-a3f5-0c0ffee0c0ff", query+"&expires=9")
	f.Add("x", "%")
	f.Fuzz(func(t *testing.T, ticket, q string) {
		r := httptest.NewRequest("PUT", "/", strings.NewReader("x"))
		r.URL.Path, r.URL.RawQuery = "/upload/"+ticket, q
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		if taken := w.Code != 403 && w.Code != 404; taken && ticket != at || w.Code >= 500 {
			t.Errorf("%s?%s: status %d: %s", ticket, q, w.Code, w.Body)
		}
	})
}

// A session's form, whatever is in it, is answered in the words of the contract.
func FuzzUploadFrame(f *testing.F) {
	b := newBox(f, store.Sandbox)
	server := b.Public()
	session := b.session(b.enrolled("Ada", red), red, 0)
	for _, first := range []bool{true, false} {
		body := sessionForm(session, jpegOf(red), first)
		f.Add(body.data, body.contentType)
	}
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		r := httptest.NewRequest("POST", "/upload-frame/", bytes.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("Authorization", "Bearer "+b.apiKey)
		w := httptest.NewRecorder()
		server.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
	})
}
