package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/cypherface/edge/internal/auth"
	"github.com/cypherface/edge/store"
)

// listen opens an event stream and reads its first message unless the
// handshake is refused.
func (b *box) listen(authorization, query string) (*websocket.Conn, int) {
	b.t.Helper()
	header := http.Header{}
	if authorization != "" {
		header.Set("Authorization", authorization)
	}
	conn, resp, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(b.url, "http")+"/api/events"+query, header)
	if err != nil {
		if resp == nil {
			b.t.Fatal(err)
		}
		return nil, resp.StatusCode
	}
	b.t.Cleanup(func() { conn.Close() })
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute)) // a test must end
	return conn, resp.StatusCode
}

// next reads a message.
func next(t *testing.T, conn *websocket.Conn) map[string]any {
	t.Helper()
	var m map[string]any
	if err := conn.ReadJSON(&m); err != nil {
		t.Fatal(err)
	}
	return m
}

func wantClose(t *testing.T, conn *websocket.Conn, code int) {
	t.Helper()
	for {
		_, _, err := conn.ReadMessage()
		var closed *websocket.CloseError
		if errors.As(err, &closed) {
			if closed.Code != code {
				t.Errorf("closed with %d %q, want %d", closed.Code, closed.Text, code)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestEventsTellWhatHappensByIDs(t *testing.T) {
	b := newBox(t, store.Sandbox)
	conn, _ := b.listen("Bearer "+b.apiKey, "")
	if m := next(t, conn); m["type"] != "ready" || m["environment"] != "sandbox" {
		t.Fatalf("first %v", m)
	}
	id := b.enrolled("Ada", red)
	if m := next(t, conn); m["type"] != "enrolment" || m["userId"] != id || m["name"] != nil || m["outcome"] != "done" {
		t.Errorf("got %v", m)
	}
	b.want(b.put(b.link(id, "match"), jpegOf(blue)), 200)
	answer := b.want(b.call("POST", "/face/match", `{"userId":"`+id+`"}`), 200)
	if m := next(t, conn); m["type"] != "decision" || m["outcome"] != "no_match" || m["requestId"] != answer.text("requestId") {
		t.Errorf("got %v", m)
	}
	b.CameraChanged("fault")
	if m := next(t, conn); m["type"] != "system" || m["action"] != "camera" {
		t.Errorf("got %v", m)
	}
	b.want(b.call("DELETE", "/users/"+id, nil), 200)
	if m := next(t, conn); m["type"] != "erasure" || m["userId"] != id {
		t.Errorf("got %v", m)
	}
}

func TestEventsWithNames(t *testing.T) {
	b := newBox(t, store.Sandbox)
	conn, _ := b.listen("Bearer "+b.apiKey, "?names=1")
	next(t, conn)
	b.enrolled("Ada", red)
	if m := next(t, conn); m["name"] != "Ada Test" {
		t.Errorf("got %v", m)
	}
	_, noNames := b.newMerchant("Other", auth.EventsRead)
	conn, _ = b.listen("Bearer "+noNames, "?names=1")
	wantClose(t, conn, 4403)
}

func TestEventsOfAnotherMerchantAreNotSent(t *testing.T) {
	b := newBox(t, store.Sandbox)
	_, other := b.newMerchant("Other", auth.EventsRead)
	conn, _ := b.listen("Bearer "+other, "")
	next(t, conn)
	b.enrolled("Ada", red)
	b.CameraChanged("live")
	if m := next(t, conn); m["action"] != "camera" {
		t.Errorf("got %v", m)
	}
}

func TestEventsAuthorizeByTheFirstMessage(t *testing.T) {
	b := newBox(t, store.Sandbox)
	conn, _ := b.listen("", "")
	if err := conn.WriteJSON(map[string]string{"authorization": "Bearer " + b.apiKey}); err != nil {
		t.Fatal(err)
	}
	if m := next(t, conn); m["type"] != "ready" {
		t.Errorf("got %v", m)
	}
	for _, first := range []string{`{"authorization":"Bearer x"}`, `{}`, `hello`} {
		conn, _ := b.listen("", "")
		if err := conn.WriteMessage(websocket.TextMessage, []byte(first)); err != nil {
			t.Fatal(err)
		}
		wantClose(t, conn, 4401)
	}
}

func TestEventsRefuse(t *testing.T) {
	b := newBox(t, store.Sandbox)
	if _, status := b.listen("Bearer x", ""); status != 401 {
		t.Errorf("bad key: status %d", status)
	}
	_, silent := b.newMerchant("Other", auth.Match)
	if _, status := b.listen("Bearer "+silent, ""); status != 403 {
		t.Errorf("no permission: status %d", status)
	}
	b.want(b.call("GET", "/events", nil), 400)
}

func TestCloseEndsTheStreams(t *testing.T) {
	b := newBox(t, store.Sandbox)
	conn, _ := b.listen("Bearer "+b.apiKey, "")
	next(t, conn)
	b.Close()
	wantClose(t, conn, websocket.CloseGoingAway)
}

// control serves the control API on a real socket.
func (b *box) control(t *testing.T, own uint32) *http.Client {
	t.Helper()
	path := t.TempDir() + "/control.sock"
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ts := httptest.NewUnstartedServer(b.Control())
	ts.Listener.Close()
	ts.Listener = l
	ts.Config.ConnContext = peer(own)
	ts.Start()
	t.Cleanup(ts.Close)
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}}
}

// What a box sends to its central is told there with the box, to its merchant alone, and
// to those who asked for another box not at all.
func TestEventsOfBoxes(t *testing.T) {
	b := newBox(t, store.Sandbox)
	all, _ := b.listen("Bearer "+b.apiKey, "")
	next(t, all) // ready
	one, other := store.NewUUID[store.DeviceID](), store.NewUUID[store.DeviceID]()
	only, _ := b.listen("Bearer "+b.apiKey, "?deviceId="+string(other))
	next(t, only)
	send := func(m store.MerchantID, d store.DeviceID, seq uint64) {
		t.Helper()
		event, err := json.Marshal(&store.Event{Device: d, Epoch: 1, Seq: seq, Time: time.Now(), Kind: store.EventDecision, Merchant: "5f0c0ffee0c0ffee0c0ffee0", Outcome: store.OutcomeNoMatch})
		if err != nil {
			t.Fatal(err)
		}
		change, err := json.Marshal(&store.Event{Device: d, Epoch: 1, Seq: seq + 1, Time: time.Now(), Kind: store.EventChange})
		if err != nil {
			t.Fatal(err)
		}
		b.FromBox(m, [][]byte{event, change, []byte("{")})
	}
	send(store.NewID[store.MerchantID](time.Now()), one, 1)
	send(b.merchant, one, 3)
	send(b.merchant, other, 5)
	for _, want := range []struct {
		device store.DeviceID
		seq    float64
	}{{one, 3}, {other, 5}} {
		if m := next(t, all); m["type"] != "decision" || m["deviceId"] != string(want.device) || m["seq"] != want.seq {
			t.Errorf("got %v, want %+v", m, want)
		}
	}
	if m := next(t, only); m["deviceId"] != string(other) || m["seq"] != 5.0 {
		t.Errorf("of one box came %v", m)
	}
}
