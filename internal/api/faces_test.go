package api_test

import (
	"encoding/base64"
	"errors"
	"image/color"
	"strings"
	"testing"
	"time"

	"github.com/cypherface/edge/internal/api"
	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/store"
)

// put uploads to a link.
func (b *box) put(link answer, body any) answer {
	b.t.Helper()
	return b.callAs("", "PUT", link.text("url"), body)
}

// enrolled registers a user and enrols the face of a colour.
func (b *box) enrolled(name string, c color.Color) string {
	b.t.Helper()
	id := b.register(name)
	if b.store.Info().Environment == store.Production {
		text := b.text("of "+name, "en")
		b.want(b.call("POST", "/users/"+id+"/consents/", `{"textId":"`+text+`"}`), 201)
	}
	b.want(b.put(b.want(b.link(id, "upload"), 200), jpegOf(c)), 200)
	return id
}

// The documented flow: register, upload the source, upload the target, match.
func TestUploadAndMatch(t *testing.T) {
	b := newBox(t, store.Sandbox)
	id := b.register("Ada")
	b.want(b.link(id, "match"), 200)
	b.want(b.call("POST", "/api/face/match/", `{"userId":"`+id+`"}`), 422) // no source image yet

	link := b.want(b.link(id, "upload"), 200)
	golden(t, b, "upload-link.json", link)
	golden(t, b, "uploaded-source.json", b.want(b.put(link, jpegOf(red)), 200))
	b.want(b.put(link, jpegOf(red)), 409)
	b.want(b.link(id, "upload"), 409)
	if a := b.call("GET", "/users/"+id, nil); !strings.Contains(a.raw, `"status":"enrolled"`) {
		t.Errorf("user %s", a.raw)
	}

	b.want(b.call("POST", "/api/face/match/", `{"userId":"`+id+`"}`), 422) // no target image yet
	golden(t, b, "uploaded-target.json", b.want(b.put(b.link(id, "match"), jpegOf(red)), 200))
	golden(t, b, "match.json", b.want(b.call("POST", "/api/face-match", `{"userId":"`+id+`"}`), 200))
	b.want(b.call("POST", "/api/face/match/", `{"userId":"`+id+`"}`), 422) // the target is used up

	b.want(b.put(b.link(id, "match"), jpegOf(blue)), 200)
	golden(t, b, "mismatch.json", b.want(b.call("POST", "/face/match", `{"userId":"`+id+`"}`), 200))
}

func TestTheNewestTargetIsCompared(t *testing.T) {
	b := newBox(t, store.Sandbox)
	id := b.enrolled("Ada", red)
	b.want(b.put(b.link(id, "match"), jpegOf(blue)), 200)
	time.Sleep(2 * time.Millisecond) // the order is that of the store's clock
	b.want(b.put(b.link(id, "match"), jpegOf(red)), 200)
	if a := b.want(b.call("POST", "/face/match", `{"userId":"`+id+`"}`), 200); a.body["match"] != true {
		t.Error(a.raw)
	}
	b.want(b.call("POST", "/face/match", `{"userId":"`+id+`"}`), 422) // the older one is gone too
}

func TestExpiredUploadsAreSweptAway(t *testing.T) {
	b := newBox(t, store.Sandbox)
	id := b.enrolled("Ada", red)
	b.want(b.put(b.link(id, "match"), jpegOf(red)), 200)
	b.want(b.link(id, "match"), 200)
	b.now = b.now.Add(4801 * time.Second)
	left := func() (n int) {
		err := b.store.View(t.Context(), func(tx *store.Tx) error {
			tickets, err := store.Count(tx, store.TicketsByExpiry)
			images, err2 := store.Count(tx, store.ImagesByExpiry)
			n = tickets + images
			return errors.Join(err, err2)
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if !b.sweep(time.Minute, func() bool { return left() == 0 }) {
		t.Fatalf("%d records are left", left())
	}
	b.want(b.link(id, "upload"), 409) // that the source was processed is not forgotten
}

func TestUploadRefuses(t *testing.T) {
	b := newBox(t, store.Sandbox)
	id := b.register("Ada")
	link := b.want(b.link(id, "upload"), 200)
	gif := upload{[]byte("GIF89a\x01\x00\x01\x00\x00\x00\x00;"), "image/jpeg"}
	cut := upload{jpegOf(red).data[:300], "image/jpeg"}
	tests := []struct {
		name   string
		body   any
		status int
	}{
		{"another type", pngOf(red), 406},
		{"no type", upload{jpegOf(red).data, ""}, 406},
		{"JSON", `{}`, 406},
		{"not an image", upload{[]byte("hello"), "image/jpeg"}, 406},
		{"GIF", gif, 406},
		{"cut", cut, 406},
		{"empty", upload{nil, "image/jpeg"}, 406},
		{"too large", upload{make([]byte, api.MaxImage+1), "image/jpeg"}, 413},
		{"no face", jpegOf(nobody), 422},
		{"two faces", jpegOf(crowd), 422},
		{"blurred", jpegOf(blurred), 422},
		{"form without a file", form("picture", jpegOf(red)), 400},
		{"form with another type", form("file", pngOf(red)), 406},
		{"two files", form("file", jpegOf(red), jpegOf(red)), 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { b.want(b.put(link, tt.body), tt.status) })
	}
	golden(t, b, "low-quality.json", b.put(link, jpegOf(blurred)))
	b.want(b.callAs("", "POST", link.text("url"), form("file", jpegOf(red))), 200) // the link is still good
}

func TestUploadLinksCannotBeMended(t *testing.T) {
	b := newBox(t, store.Sandbox)
	id := b.register("Ada")
	url := b.want(b.link(id, "match"), 200).text("url")
	for name, bad := range map[string]string{
		"no signature": url[:strings.Index(url, "&signature")],
		"cut":          url[:len(url)-2],
		"later":        strings.Replace(url, "expires=", "expires=9", 1),
		"other ticket": strings.Replace(url, "/upload/", "/upload/0d9f2f6e-0b0b-4c1b-8c1b-0d9f2f6e0b0b?x=", 1),
		"no ticket":    strings.Replace(url, "/upload/", "/upload/x", 1),
	} {
		if a := b.callAs("", "PUT", bad, jpegOf(red)); a.status != 403 {
			t.Errorf("%s: status %d", name, a.status)
		}
	}
	b.want(b.call("DELETE", "/users/"+id, nil), 200)
	b.want(b.callAs("", "PUT", url, jpegOf(red)), 403) // erased with its user
}

func TestUploadLinksExpire(t *testing.T) {
	b := newBox(t, store.Sandbox)
	id := b.enrolled("Ada", red)
	early, late := b.link(id, "match"), b.link(id, "match")
	b.want(b.put(early, jpegOf(red)), 200)
	b.now = b.now.Add(4800 * time.Second)
	b.want(b.put(late, jpegOf(red)), 403)
	b.want(b.call("POST", "/face/match", `{"userId":"`+id+`"}`), 422) // the image is too old
}

func TestGenerateURLRefuses(t *testing.T) {
	b := newBox(t, store.Sandbox)
	id := b.register("Ada")
	body := func(id, name, contentType, kind string) string {
		return `{"userId":"` + id + `","imageName":"` + name + `","contentType":"` + contentType + `","type":"` + kind + `"}`
	}
	tests := []struct {
		name, body string
		status     int
	}{
		{"nothing", `{}`, 400},
		{"bad id", body("7", "a.jpg", "image/jpeg", "match"), 400},
		{"capital id", body(strings.ToUpper(strings.Repeat("a", 24)), "a.jpg", "image/jpeg", "match"), 400},
		{"no such user", body(strings.Repeat("a", 24), "a.jpg", "image/jpeg", "match"), 404},
		{"no name", body(id, "", "image/jpeg", "match"), 400},
		{"long name", body(id, strings.Repeat("a", 256), "image/jpeg", "match"), 400},
		{"line break", body(id, `a\nb`, "image/jpeg", "match"), 400},
		{"another purpose", body(id, "a.jpg", "image/jpeg", "delete"), 400},
		{"GIF", body(id, "a.gif", "image/gif", "match"), 406},
		{"mistyped", `{"userId":7}`, 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { b.want(b.call("POST", "/upload/generate-url/", tt.body), tt.status) })
	}
	for _, name := range []string{"my photo [1] (2).jpg", "../../etc/passwd", "Ünïcödé.jpg"} {
		a := b.want(b.call("POST", "/upload/generate-url/", body(id, name, "image/jpg", "match")), 200)
		if a.text("imageName") != name || strings.Contains(a.text("imageKey"), "passwd") {
			t.Errorf("%s", a.raw)
		}
	}
}

func TestDetect(t *testing.T) {
	b := newBox(t, store.Sandbox)
	golden(t, b, "detect.json", b.want(b.call("POST", "/api/face/detect/", form("image", pngOf(red))), 200))
	data := base64.StdEncoding.EncodeToString(jpegOf(crowd).data)
	for _, body := range []string{`{"imageData":"` + data + `"}`, `{"imageData":"data:image/jpeg;base64,` + data + `"}`} {
		if a := b.want(b.call("POST", "/face-detection/", body), 200); a.body["faceCount"] != 2.0 {
			t.Error(a.raw)
		}
	}
	golden(t, b, "no-face.json", b.want(b.call("POST", "/face/detect", form("image", jpegOf(nobody))), 200))

	id := b.register("Ada")
	target := b.link(id, "match")
	b.want(b.call("POST", "/face/detect", `{"imageKey":"`+target.text("imageKey")+`"}`), 404) // not uploaded yet
	b.want(b.put(target, jpegOf(red)), 200)
	b.want(b.call("POST", "/face/detect", `{"imageKey":"`+target.text("imageKey")+`"}`), 200)
	_, other := b.newMerchant("Other", auth.Scopes()...)
	b.want(b.callAs("Bearer "+other, "POST", "/face/detect", `{"imageKey":"`+target.text("imageKey")+`"}`), 404)
	source := b.link(id, "upload")
	b.want(b.put(source, jpegOf(red)), 200)
	b.want(b.call("POST", "/face/detect", `{"imageKey":"`+source.text("imageKey")+`"}`), 404) // only its crop is kept

	for _, body := range []any{`{}`, `{"imageData":"!"}`, `{"imageData":"aaaa","imageKey":"b"}`, `[]`, form("picture", jpegOf(red))} {
		b.want(b.call("POST", "/face/detect", body), 400)
	}
	for _, body := range []any{`{"imageData":"aGVsbG8="}`, jpegOf(red), form("image", upload{[]byte("x"), "image/png"})} {
		b.want(b.call("POST", "/face/detect", body), 406)
	}
	b.want(b.call("POST", "/face/detect", form("image", upload{make([]byte, api.MaxImage+1), "image/png"})), 413)
}

func TestIdentify(t *testing.T) {
	b := newBox(t, store.Sandbox)
	id := b.enrolled("Ada", red)
	golden(t, b, "identified.json", b.want(b.call("POST", "/api/identify/", form("image", jpegOf(red))), 200))
	golden(t, b, "nobody.json", b.want(b.call("POST", "/identify", form("image", jpegOf(blue))), 200))

	b.want(b.call("POST", "/identify", `{"source":"camera"}`), 422) // it gives no picture
	b.faces.sees = red
	if a := b.want(b.call("POST", "/identify", `{"source":"camera"}`), 200); a.text("userId") != id {
		t.Error(a.raw)
	}
	b.want(b.call("POST", "/identify", `{"source":"http://example.org/"}`), 400)
	b.want(b.call("POST", "/identify", form("image", jpegOf(crowd))), 422)
}

// Each error of the workflow has its status, and tells the caller nothing of the
// inside.
func TestErrorsOfTheWorkflow(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.strange = true
	for _, tt := range []struct {
		err    error
		status int
	}{
		{verify.ErrNoFace, 422}, {verify.ErrSeveralFaces, 422}, {verify.ErrLowQuality, 422}, {verify.ErrNotEnrolled, 422},
		{verify.ErrOtherFace, 422}, {verify.ErrUnsupported, 422}, {verify.ErrUnknownPerson, 404}, {verify.ErrDuplicate, 409},
		{verify.ErrImages, 400}, {store.ErrStale, 409}, {store.ErrClosed, 503}, {store.ErrDamaged, 500}, {errors.New("secret path"), 500},
	} {
		b.faces.fail = &verify.Error{Op: "identify", Err: tt.err, Hint: "an internal hint"}
		if a := b.want(b.call("POST", "/identify", form("image", jpegOf(red))), tt.status); strings.Contains(a.raw, "internal hint") || strings.Contains(a.raw, "secret") {
			t.Errorf("%v tells: %s", tt.err, a.raw)
		}
	}
}

func base64Of(u upload) string { return base64.StdEncoding.EncodeToString(u.data) }
