package main

import "github.com/ota-agent/ota-agent/agent"

// nearest is the known word that a typing error most likely meant, or "".
func nearest(word string, known []string) string {
	const wordBytesMax = 64 // no known word is half as long, and the cost is a product
	if len(word) > wordBytesMax {
		return ""
	}
	best, distance := "", max(2, len(word)/3)+1
	for _, k := range known {
		if d := agent.EditDistance(word, k); d < min(distance, len(k)) {
			best, distance = k, d
		}
	}
	return best
}
