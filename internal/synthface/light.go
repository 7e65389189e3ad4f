package synthface

import "math"

// lamp is the light of a scene, worked out.
type lamp struct {
	dir     vec // towards the key light
	key     vec
	ambient float64
}

// lamp works out the light of a scene whose zero values have been filled in.
func (l Light) lamp() lamp {
	se, ce := math.Sincos(l.Elevation * math.Pi / 180)
	sa, ca := math.Sincos(l.Azimuth * math.Pi / 180)
	return lamp{
		dir:     vec{sa * ce, se, ca * ce},
		key:     vec{1, 1 - .08*l.Warmth, 1 - .22*l.Warmth}.mul(1.02 * max(0, l.Key)),
		ambient: max(0, l.Ambient),
	}
}

// shade is the light that a surface sends to the camera. eye points from the
// surface to the camera, lit and open are the shares of the key light and of
// the room that reach it.
func (l *lamp) shade(s *surface, eye vec, lit, open float64) vec {
	nl := s.normal.dot(l.dir)
	direct := vec{lit, lit, lit}.mul(max(0, nl))
	if s.flesh {
		// Red light travels furthest through skin and softens the edge of the shade.
		direct = vec{wrap(nl, .32) * mix(.10, 1, lit), wrap(nl, .20) * mix(.03, 1, lit), wrap(nl, .16) * mix(.02, 1, lit)}
	}
	c := s.colour.times(l.key).times(direct)
	sky := vec{.27, .26, .255}.lerp(vec{.44, .455, .49}, .5+.5*s.normal.Y)
	front := .17 * max(0, s.normal.Z)
	room := sky.add(vec{front, front, front}).mul(open * l.ambient)
	if s.flesh { // light that bounced off skin before is redder
		room = room.times(vec{1, .93 + .07*open, .90 + .10*open})
	}
	c = c.add(s.colour.times(room))
	half := l.dir.add(eye).norm()
	if s.fur != (vec{}) {
		c = c.add(s.fur.times(l.key).mul(.30 * lit * wrap(nl, .3) * furShine(s.strand, half, 40)))
		c = c.add(s.fur.mul(.14 * open * l.ambient * furShine(s.strand, vec{0, .7, .7}, 12)))
	} else if s.shine > 0 {
		hl := math.Pow(max(0, s.normal.dot(half)), s.gloss) * s.shine * lit * clamp(nl*3, 0, 1)
		c = c.add(l.key.mul(hl))
		grazing := 1 - clamp(s.normal.dot(eye), 0, 1)
		rim := sq(sq(grazing)) * .05 * open * l.ambient
		c = c.add(vec{rim, rim, rim})
	}
	return c.add(s.glow)
}

// wrap is Lambert's cosine with the light reaching w past the edge.
func wrap(nl, w float64) float64 { return max(0, (nl+w)/(1+w)) }

// furShine is the highlight of a strand: brightest where the half vector is
// square to it (Kajiya and Kay, 1989).
func furShine(strand, half vec, gloss float64) float64 {
	d := strand.dot(half)
	return math.Pow(math.Sqrt(max(0, 1-d*d)), gloss)
}
