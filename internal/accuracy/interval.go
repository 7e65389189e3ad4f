package accuracy

import "math"

// Wilson is the interval of a share, k of n independent trials: see wilson.
func Wilson(k, n int) Interval { return wilson(k, n) }

// wilson is Wilson's score interval (1927) for k of n independent trials at
// 95 %. Unlike the normal approximation it stays inside [0,1] and says
// something sensible when k is 0.
func wilson(k, n int) Interval {
	if n == 0 {
		return Interval{math.NaN(), math.NaN()}
	}
	const z = 1.959963984540054
	p, m := float64(k)/float64(n), float64(n)
	centre := (p + z*z/(2*m)) / (1 + z*z/m)
	half := z / (1 + z*z/m) * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return Interval{max(0, centre-half), min(1, centre+half)}
}
