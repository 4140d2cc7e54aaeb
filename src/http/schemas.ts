import { type TObject, Type } from '@sinclair/typebox'

/** The body of every answer that refuses or fails. */
const ErrorSchema = Type.Object(
  {
    statusCode: Type.Integer(),
    code: Type.String({ description: 'Stable, for programs.', examples: ['TIDINGS_INVALID_TYPE'] }),
    error: Type.String({ description: "The status code's name." }),
    message: Type.String({ description: 'For people: the value, the place and what is allowed.' }),
  },
  { description: 'Refused or failed; `code` says why.' },
)

/** Response schemas for these refusing statuses. */
export function refusals(...statuses: number[]): Record<number, TObject> {
  return Object.fromEntries(statuses.map(status => [status, ErrorSchema]))
}
