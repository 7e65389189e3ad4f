package synthface

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
)

// rendition names the look of the renderer. It is part of each clip's file
// name: raise it whenever pixels change, and no cache will show old ones (a
// test holds it to a digest of the pixels).
const rendition = 2

// clip is a rendered act: its frames as JPEG.
type clip [][]byte

// A clip's file: the magic, the number of frames, each frame with its length,
// and the SHA-256 of everything before. Numbers are 32 bits, big endian.
const (
	clipMagic     = "synthface clip 1\n"
	maxClipFrames = 1000
)

var errDamagedClip = errors.New("damaged clip")

// encode is the clip's file.
func (c clip) encode() []byte {
	b := []byte(clipMagic)
	b = binary.BigEndian.AppendUint32(b, uint32(len(c)))
	for _, f := range c {
		b = binary.BigEndian.AppendUint32(b, uint32(len(f)))
		b = append(b, f...)
	}
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// decodeClip checks a clip's file and cuts it into its frames, which share its
// memory.
func decodeClip(b []byte) (clip, error) {
	body, ok := bytes.CutPrefix(b, []byte(clipMagic))
	if !ok || len(body) < 4+sha256.Size {
		return nil, fmt.Errorf("decode clip: %w: no header", errDamagedClip)
	}
	end := len(b) - sha256.Size
	if sum := sha256.Sum256(b[:end]); !bytes.Equal(sum[:], b[end:]) {
		return nil, fmt.Errorf("decode clip: %w: wrong checksum", errDamagedClip)
	}
	body = body[:len(body)-sha256.Size]
	n := binary.BigEndian.Uint32(body)
	body = body[4:]
	if n == 0 || n > maxClipFrames {
		return nil, fmt.Errorf("decode clip: %w: %d frames", errDamagedClip, n)
	}
	c := make(clip, n)
	for i := range c {
		if len(body) < 4 || uint64(len(body)-4) < uint64(binary.BigEndian.Uint32(body)) {
			return nil, fmt.Errorf("decode clip: %w: frame %d of %d is cut", errDamagedClip, i+1, n)
		}
		size := 4 + int(binary.BigEndian.Uint32(body))
		c[i], body = body[4:size:size], body[size:]
	}
	if len(body) > 0 {
		return nil, fmt.Errorf("decode clip: %w: %d bytes too many", errDamagedClip, len(body))
	}
	return c, nil
}

// frame decodes one frame.
func (c clip) frame(i int) (*image.YCbCr, error) {
	img, err := jpeg.Decode(bytes.NewReader(c[i]))
	if err != nil {
		return nil, fmt.Errorf("decode clip frame: %w", err)
	}
	ycc, ok := img.(*image.YCbCr)
	if !ok {
		return nil, fmt.Errorf("decode clip frame: %w: %T", errDamagedClip, img)
	}
	return ycc, nil
}

// clipKey says what a clip shows.
type clipKey struct {
	person        int64 // seed; 0 in Empty
	attack        attack
	act           Act
	width, height int
	fps           int
	room          int64
}

// file is the clip's name in the cache.
func (k clipKey) file() string {
	return fmt.Sprintf("%s%d-%s%s-%dx%d-%d-%d.clip", clipPrefix(), k.person, k.act, k.attack.suffix(), k.width, k.height, k.fps, k.room)
}

// clipPrefix begins the names of all clips that this renderer made.
func clipPrefix() string { return fmt.Sprintf("r%d-", rendition) }

// attack is how the demo's visitor cheats.
type attack string

const (
	noAttack     attack = ""
	printAttack  attack = "print"
	bentAttack   attack = "bent"
	screenAttack attack = "screen"
)

// suffix sets an attack's clips apart by name.
func (a attack) suffix() string {
	if a == noAttack {
		return ""
	}
	return "-" + string(a)
}

// subject is the person, or what is held up in the person's place.
func (a attack) subject(p *Person) Subject {
	if a == noAttack {
		return Subject{Person: p}
	}
	photo := Render(Scene{Noise: .7}, Subject{Person: p, Pose: Pose{Distance: 45, Y: -1}, Expression: Expression{Smile: .3}})
	pr := &Print{Of: photo, Screen: a == screenAttack}
	if a == bentAttack {
		pr.Bend = 14
	}
	return Subject{Print: pr}
}

// film renders the clip of a key. rest is called after each frame, so that a
// film in the background leaves time for others.
func film(ctx context.Context, k clipKey, p *Person, rest func()) (clip, error) {
	var who Subject
	if k.act != Empty {
		who = k.attack.subject(p)
	}
	s := Scene{Width: k.width, Height: k.height, Room: k.room, Seed: k.person}
	var c clip
	for shot := range Perform(who, k.act, s, k.fps) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var b bytes.Buffer
		if err := jpeg.Encode(&b, shot.Image, &jpeg.Options{Quality: 88}); err != nil {
			return nil, fmt.Errorf("encode clip frame: %w", err)
		}
		c = append(c, b.Bytes())
		rest()
	}
	return c, nil
}
