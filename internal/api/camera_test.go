package api_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/jpeg"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/cypherface/edge/camera"
	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/internal/api"
	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/internal/verify"
	"github.com/cypherface/edge/store"
)

// ticker is a camera of 20 frames a second.
type ticker struct {
	seq    uint64
	closed chan struct{}
}

func (s *ticker) Next(ctx context.Context) (camera.Frame, error) {
	select {
	case <-ctx.Done():
		return camera.Frame{}, ctx.Err()
	case <-time.After(50 * time.Millisecond):
	}
	s.seq++
	img := image.NewYCbCr(image.Rect(0, 0, 1280, 720), image.YCbCrSubsampleRatio422)
	for i := range img.Y {
		img.Y[i] = byte(100 + s.seq%50)
	}
	return camera.Frame{Image: img, Time: time.Now(), Seq: s.seq}, nil
}

func (s *ticker) Close() error { close(s.closed); return nil }

// watchable gives the box a camera and one at a door. closed tells of each reader
// that was closed.
func (b *box) watchable() (door store.DoorID, closed chan struct{}) {
	door, closed = store.NewID[store.DoorID](b.now), make(chan struct{}, 10)
	live := func() camera.State { return camera.State{Status: camera.StatusLive} }
	open := func() camera.Source {
		s := &ticker{closed: make(chan struct{})}
		go func() { <-s.closed; closed <- struct{}{} }()
		return s
	}
	seen := func() verify.View {
		return verify.View{Time: time.Now(), Frame: image.Rect(0, 0, 1280, 720), Faces: []verify.Sight{
			{Box: engine.Rect{X0: 320, Y0: 180, X1: 640, Y1: 540}, Reasons: []string{"side_lit"}, Ask: "turn"}}}
	}
	other, _ := b.newMerchant("Other")
	b.API.Cameras = func() []api.Camera {
		return []api.Camera{
			{Merchant: b.merchant, State: live, Open: open, Seen: seen},
			{Door: door, Merchant: b.merchant, State: live, Open: open, Seen: func() verify.View { return verify.View{} }},
			{Door: "broken", Merchant: b.merchant, State: func() camera.State {
				return camera.State{Status: camera.StatusFault, Err: errors.New("rtsp://10.0.0.1 refused")}
			}},
			{Door: "another's", Merchant: other, State: live, Open: open, Seen: seen},
		}
	}
	return door, closed
}

// accesses are the events of who looked where.
func (b *box) accesses() (all []string) {
	b.t.Helper()
	err := b.store.View(context.Background(), func(tx *store.Tx) error {
		events, err := store.Events(tx, 0, 1000)
		for _, e := range events {
			if e.Kind == store.EventAccess {
				all = append(all, strings.TrimSpace(e.Action+" "+string(e.Door))+" by "+string(e.Actor.Kind))
			}
		}
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return all
}

func TestCameraStreamIsMotionJPEG(t *testing.T) {
	b := newBox(t, store.Sandbox)
	door, closed := b.watchable()
	for _, query := range []string{"", "?door=" + string(door)} {
		req, _ := http.NewRequest("GET", b.url+"/api/camera/stream/"+query, nil)
		req.Header.Set("Authorization", "Bearer "+b.apiKey)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("status %d, %v", resp.StatusCode, err)
		}
		parts := multipart.NewReader(resp.Body, params["boundary"])
		for range 3 {
			p, err := parts.NextPart()
			if err != nil {
				t.Fatal(err)
			}
			// A busy machine makes this a slow viewer, whose frames get smaller.
			if img, err := jpeg.DecodeConfig(p); err != nil || img.Width > 640 || img.Width < 200 {
				t.Fatalf("a frame of %d×%d, %v", img.Width, img.Height, err)
			}
		}
		resp.Body.Close()
		select {
		case <-closed: // the camera is read for nobody no longer
		case <-time.After(time.Minute):
			t.Error("the camera is read on without a viewer")
		}
	}
	want := []string{"camera_stream by key", "camera_stream " + string(door) + " by key"}
	if got := b.accesses(); strings.Join(got, ", ") != strings.Join(want, ", ") {
		t.Errorf("on record: %q, want %q", got, want)
	}
}

func TestCameraSocketHasTheFaces(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.watchable()
	dial := func(header http.Header) *websocket.Conn {
		conn, resp, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(b.url, "http")+"/camera/stream", header)
		if err != nil {
			t.Fatalf("%v, %+v", err, resp)
		}
		t.Cleanup(func() { conn.Close() })
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		return conn
	}
	browser := dial(nil)
	if err := browser.WriteJSON(map[string]string{"authorization": "Bearer " + b.apiKey}); err != nil {
		t.Fatal(err)
	}
	for _, conn := range []*websocket.Conn{dial(http.Header{"Authorization": {"Bearer " + b.apiKey}}), browser} {
		for range 2 {
			m := next(t, conn)
			kind, b, err := conn.ReadMessage()
			if err != nil || kind != websocket.BinaryMessage {
				t.Fatalf("message of kind %d, %v", kind, err)
			}
			img, err := jpeg.DecodeConfig(bytes.NewReader(b))
			if err != nil || float64(img.Width) != m["width"] || m["type"] != "frame" {
				t.Fatalf("%v, a picture of %d×%d, %v", m, img.Width, img.Height, err)
			}
			face := m["faces"].([]any)[0].(map[string]any)
			box := face["BoundingBox"].(map[string]any)
			if box["Left"] != 0.25 || box["Top"] != 0.25 || box["Width"] != 0.25 || box["Height"] != 0.5 || face["ask"] != "turn" {
				t.Errorf("face %v", face)
			}
		}
	}
	b.Close()
	wantClose(t, browser, websocket.CloseGoingAway)
}

func TestWhoMayLookThroughACamera(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.watchable()
	_, blind := b.newMerchant("Blind", auth.EventsRead)
	for _, path := range []string{"/camera/stream", "/camera/snapshot"} {
		for want, a := range map[int]answer{
			401: b.callAs("", "GET", path, nil),
			403: b.callAs("Bearer "+blind, "GET", path, nil),
			404: b.call("GET", path+"?door=another's", nil),
			503: b.call("GET", path+"?door=broken", nil),
		} {
			if a.status != want || strings.Contains(a.raw, "10.0.0.1") {
				t.Errorf("%s: status %d, want %d: %s", path, a.status, want, a.raw)
			}
		}
	}
	if a := b.call("GET", "/camera/snapshot", nil); a.status != 200 || a.header.Get("Content-Type") != "image/jpeg" {
		t.Errorf("snapshot: %d, %v", a.status, a.header)
	} else if img, err := jpeg.Decode(strings.NewReader(a.raw)); err != nil || img.Bounds().Dx() < 640 {
		t.Errorf("snapshot: %v", err)
	}
	if got := b.accesses(); len(got) != 1 || got[0] != "camera_snapshot by key" {
		t.Errorf("on record: %q", got)
	}
}

// What a person at a door is asked for is told once it has lasted, and once that
// it is over.
func TestGuidanceIsToldToListeners(t *testing.T) {
	b := newBox(t, store.Sandbox)
	conn, _ := b.listen("Bearer "+b.apiKey, "")
	next(t, conn) // ready
	saw := func(n int, ask string) {
		for range n {
			b.Saw(b.merchant, "door", verify.View{Faces: []verify.Sight{{Ask: ask, Reasons: []string{"side_lit"}}}})
		}
	}
	saw(3, "turn")
	saw(9, "") // it was for a moment only
	saw(20, "turn")
	saw(20, "")
	for _, want := range []string{"turn", ""} {
		m := next(t, conn)
		if ask, _ := m["ask"].(string); m["type"] != "guidance" || ask != want || m["doorId"] != "door" || (m["reasons"] != nil) != (want != "") {
			t.Errorf("told %v, want %q", m, want)
		}
	}
}

func TestAlarmsAreOnThePage(t *testing.T) {
	b := newBox(t, store.Sandbox)
	b.status.Cameras = []api.CameraState{
		{Camera: "live", Trouble: "covered: look at the camera", Alarm: true, Health: camera.Health{Picture: camera.PictureCovered}},
		{Door: "d1", Camera: "fault", Trouble: "read rtsp://10.0.0.1: refused", Alarm: true},
		{Door: "d2", Camera: "live"},
	}
	a := b.call("GET", "/readyz", nil)
	for _, want := range []string{"ALARM: the box's camera: covered", "ALARM: a door's camera: it gives no picture"} {
		if a.status != 200 || !strings.Contains(a.raw, want) {
			t.Errorf("%q is missing in %s", want, a.raw)
		}
	}
	if strings.Contains(a.raw, "10.0.0.1") || strings.Contains(a.raw, "d1") {
		t.Errorf("too much is told: %s", a.raw)
	}
}
