// Compiles only if the types that openapi-typescript generated fit.
import type { components, operations } from "./api";

type Ok<Name extends keyof operations> = operations[Name]["responses"] extends { 200: { content: infer Content } }
  ? Content
  : never;

export function shown(answer: Ok<"predict">["application/json"]): string[] {
  return answer.predictions.map((each) => each.error?.title ?? `${each.label} ${each.probability ?? ""}`);
}

export const format: NonNullable<operations["explain"]["parameters"]["query"]>["format"] = "side-by-side";
export const picture: Ok<"explain">["image/png"] = "bytes";
export const model = (served: Ok<"model">["application/json"]): number | undefined => served.input_guard?.threshold;
export const refused: components["schemas"]["Problem"]["type"] = "/problems/truncated-image";
// @ts-expect-error: there is no such format
export const wrong: NonNullable<operations["explain"]["parameters"]["query"]>["format"] = "upside-down";
