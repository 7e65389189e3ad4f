package ipcam

import (
	"bytes"
	"io"
	"testing"

	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/pion/rtp"
)

// Whatever a camera sends over HTTP, what is taken for a frame is a picture or an
// error.
func FuzzBody(f *testing.F) {
	shot := shots()[0]
	f.Add(append([]byte("--frame\r\nContent-Type: image/jpeg\r\n\r\n"), shot...))
	f.Add(shot[:len(shot)/2])
	f.Add([]byte{0xff, 0xd8, 0xff, 0xda, 0, 2, 0xff, 0xd9})
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = frames(t.Context(), io.NopCloser(bytes.NewReader(b)), func(frame []byte) {
			if img, err := decodeJPEG(frame, nil); err == nil && img.Rect.Empty() {
				t.Error("an empty picture")
			}
		})
	})
}

// Packets of an RTSP camera, in any order and of any content, make pictures or
// nothing.
func FuzzPackets(f *testing.F) {
	mjpeg := &format.MJPEG{}
	encoder, err := mjpeg.CreateEncoder()
	if err != nil {
		f.Fatal(err)
	}
	packets, err := encoder.Encode(shots()[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(packets[0].Payload, packets[len(packets)-1].Payload, true)
	f.Add([]byte{0, 0, 0, 0, 1, 255, 40, 30, 0, 0, 0, 128}, []byte{1}, false)
	f.Fuzz(func(t *testing.T, a, b []byte, mark bool) {
		jpegs, err := mjpeg.CreateDecoder()
		if err != nil {
			t.Fatal(err)
		}
		units, err := (&format.H264{PayloadTyp: 96, PacketizationMode: 1}).CreateDecoder()
		if err != nil {
			t.Fatal(err)
		}
		for i, payload := range [][]byte{a, b, a, b} {
			p := &rtp.Packet{Header: rtp.Header{SequenceNumber: uint16(i), Marker: mark == (i%2 == 1)}, Payload: payload}
			if frame, err := jpegs.Decode(p); err == nil {
				if img, err := decodeJPEG(frame, nil); err == nil && img.Rect.Empty() {
					t.Error("an empty picture")
				}
			}
			if unit, err := units.Decode(p); err == nil {
				write(io.Discard, unit)
			}
		}
	})
}
